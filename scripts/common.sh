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
need_native_tools() {
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
}

need_tools() {
    need_native_tools
    command -v dotnet >/dev/null || die "the .NET SDK 10 is missing; install the package dotnet-sdk-10.0, or unpack the SDK and put 'dotnet' on PATH"
    local sdk
    sdk=$(cd "$root" && dotnet --version 2>/dev/null) || die "no .NET SDK matches global.json (10.0.x); found: $(dotnet --list-sdks | tr '\n' ' ')"
    case $sdk in 10.*) ;; *) die "found .NET SDK $sdk, needed 10.0.x" ;; esac
}

# build_native FOLDER "TARGETS" [cmake options]: all that the compilers say is in FOLDER.log.
build_native() {
    local folder=$1 targets=$2
    shift 2
    cmake -S "$root/native" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; die "cmake could not configure $folder"; }
    # shellcheck disable=SC2086 # several targets
    cmake --build "$folder" --parallel "$(nproc)" --target $targets >>"$folder.log" 2>&1 || { tail -50 "$folder.log"; die "the native build failed: $folder.log"; }
}

# publish_server FOLDER [dotnet options]: ahead of time compiled unless an option says otherwise.
publish_server() {
    local folder=$1
    shift
    dotnet publish "$root/src/Server" -c Release -r linux-x64 -o "$folder" -p:DebugType=none -p:GenerateDocumentationFile=false "$@" -v quiet --nologo
    rm -f "$folder"/*.dbg "$folder"/*.pdb "$folder"/*.staticwebassets.* "$folder"/web.config
}

# find_nvcc [MAJOR]: prints the CUDA compiler to use (of that major version or newer), or fails: $NATIVELM_NVCC ("none" for no
# compiler), then the usual places.
find_nvcc() {
    local candidate version least=${1:-0}
    if [ -n "${NATIVELM_NVCC:-}" ]; then
        [ "$NATIVELM_NVCC" != none ] || return 1
        [ -x "$NATIVELM_NVCC" ] || die "NATIVELM_NVCC names $NATIVELM_NVCC, which is not a program"
        echo "$NATIVELM_NVCC"
        return
    fi
    for candidate in "$root"/artifacts/cuda-*/bin/nvcc /opt/cuda-*/bin/nvcc "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
        [ -x "$candidate" ] && version=$(nvcc_version "$candidate") && [ "${version%%.*}" -ge "$least" ] && echo "$candidate" && return
    done
    return 1
}

nvcc_version() { "$1" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p'; }

# build_cuda NVCC "TARGETS" [cmake options]: into a folder per compiler, whose name it leaves in $cuda_build.
build_cuda() {
    local nvcc=$1 targets=$2 version
    shift 2
    version=$(nvcc_version "$nvcc")
    [ "$(printf '%s\n' 11.8 "$version" | sort -V | head -1)" = 11.8 ] || die "found nvcc $version ($nvcc), needed 11.8 or newer (scripts/install-cuda.sh gets one)"
    cuda_build=$root/artifacts/native-cuda-$version
    build_native "$cuda_build" "$targets" -DNATIVELM_CUDA=ON -DCMAKE_CUDA_COMPILER="$nvcc" -DNATIVELM_CPU=OFF -DNATIVELM_EMULATED=OFF "$@"
    ! grep -q 'C7510' "$cuda_build.log" || die "ptxas serialised a wgmma (C7510): see $cuda_build.log"
}
