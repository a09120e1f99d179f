#!/usr/bin/env bash
# Builds NativeLM: the native CPU library and the server, into artifacts/nativelm (one folder, no .NET needed to run it, movable).
#
#   scripts/build.sh              build everything a user needs (NativeAOT binary, native library, demo model)
#   scripts/build.sh --managed    publish for the .NET runtime instead of NativeAOT (faster to build; needs .NET 10 to run)
#   scripts/build.sh --native     build the native library only, into artifacts/native
#
# Installs what a fresh Debian machine lacks when run as root; else says what to install.
source "$(dirname "$0")/common.sh"

aot=true native_only=false
for option in "$@"; do
    case $option in
    --managed) aot=false ;;
    --native) native_only=true ;;
    -h | --help) usage ;;
    *) die "unknown option $option (see --help)" ;;
    esac
done

need_tools
mkdir -p "$root/artifacts"
say "Native library (CMake)"
build_native "$native_build"
$native_only && exit 0

say "Server (dotnet publish)"
rm -rf "$install_folder"
properties=(-p:DebugType=none -p:GenerateDocumentationFile=false)
$aot || properties+=(-p:PublishAot=false --no-self-contained)
dotnet publish "$root/src/Server" -c Release -r linux-x64 -o "$install_folder" "${properties[@]}" -v quiet --nologo
rm -f "$install_folder"/*.dbg "$install_folder"/*.pdb "$install_folder"/*.staticwebassets.* "$install_folder"/web.config
cp "$native_build/libnativelm_cpu.so" "$install_folder/"
strip --strip-unneeded "$install_folder/libnativelm_cpu.so"
if [ -e "$root/models/demo/model.safetensors" ]; then
    mkdir -p "$install_folder/models/demo"
    find "$root/models/demo" -maxdepth 1 \( -name '*.json' -o -name '*.safetensors' -o -name '*.jinja' -o -name README.md \) -exec cp {} "$install_folder/models/demo/" \;
fi
cp "$root/LICENSE" "$install_folder/"

bytes=$(du -sb "$install_folder" | cut -f1)
[ "$bytes" -lt 100000000 ] || die "artifacts/nativelm is $bytes bytes; the limit is 100,000,000"
say "Built artifacts/nativelm ($((bytes / 1000000)) MB)"
printf 'Run it:  scripts/serve.sh      or      artifacts/nativelm/nativelm --help\n'
