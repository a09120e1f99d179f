# Sourced by the other scripts: the root, the folders, a word on what is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
native_build=$root/artifacts/native
install_folder=$root/artifacts/nativelm
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Shows the comment block at the top of the calling script.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0; }

install_packages() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

# Installs Debian packages that provide missing commands or files when it may, else says exactly what to install.
need_tools() {
    local missing=()
    command -v cmake >/dev/null || missing+=(cmake)
    command -v ninja >/dev/null || missing+=(ninja-build)
    command -v g++ >/dev/null || missing+=(g++)
    command -v git >/dev/null || missing+=(git)
    [ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "Installing ${missing[*]}"
            install_packages "${missing[@]}"
        else
            die "these Debian packages are missing: ${missing[*]}; install them with: sudo apt-get install ${missing[*]}"
        fi
    fi
    command -v dotnet >/dev/null || die "the .NET SDK 10 is missing; install the package dotnet-sdk-10.0, or unpack the SDK and put 'dotnet' on PATH"
    local sdk
    sdk=$(cd "$root" && dotnet --version 2>/dev/null) || die "no .NET SDK matches global.json (10.0.x); found: $(dotnet --list-sdks | tr '\n' ' ')"
    case $sdk in 10.*) ;; *) die "found .NET SDK $sdk, needed 10.0.x" ;; esac
}

# build_native FOLDER [cmake options]
build_native() {
    local folder=$1
    shift
    cmake -S "$root/native" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; die "cmake could not configure $folder"; }
    cmake --build "$folder" >>"$folder.log" 2>&1 || { tail -50 "$folder.log"; die "the native build failed: $folder.log"; }
}
