#!/usr/bin/env bash
# Builds NativeLM: the native libraries and the server, into artifacts/nativelm (one folder, no .NET needed to run it, movable).
#
#   scripts/build.sh              build everything a user needs (NativeAOT binary, CPU library, CUDA library where nvcc is, demo model)
#   scripts/build.sh --managed    publish for the .NET runtime instead of NativeAOT (faster to build; needs .NET 10 to run)
#   scripts/build.sh --emulated   also the emulated GPU, for `nativelm serve --device emulated`
#   scripts/build.sh --native     build for development: CPU and emulated libraries, their tests and benchmarks, into artifacts/native
#   scripts/build.sh --cuda       build the CUDA library only and hold its kernels to native/budget.tsv
#   scripts/build.sh --update-budget   the same, but rewrite the compiler's rows of native/budget.tsv
#   --architectures "90-real"     with --cuda or --update-budget: CUDA architectures other than the default
#
# Installs what a fresh Debian machine lacks when run as root; else says what to install. nvcc comes from $NATIVELM_NVCC (a path, or
# "none"), artifacts/cuda-*, /opt/cuda-*, PATH or /usr/local/cuda; scripts/install-cuda.sh gets one.
source "$(dirname "$0")/common.sh"

aot=true emulated=false only='' budget=() cuda_options=()
while [ $# -gt 0 ]; do
    case $1 in
    --managed) aot=false ;;
    --emulated) emulated=true ;;
    --native) only=native ;;
    --cuda) only=cuda ;;
    --update-budget) only=cuda budget=(--update) ;;
    --architectures)
        [ $# -gt 1 ] || die "--architectures needs a list such as 80-real;90"
        cuda_options=(-DCMAKE_CUDA_ARCHITECTURES="$2")
        shift
        ;;
    -h | --help) usage ;;
    *) die "unknown option $1 (see --help)" ;;
    esac
    shift
done

if [ "$only" = cuda ]; then need_native_tools; else need_tools; fi
mkdir -p "$root/artifacts"
if [ "$only" = cuda ]; then
    nvcc=$(find_nvcc) || die "no nvcc was found; scripts/install-cuda.sh gets one, or set NATIVELM_NVCC to yours"
    say "CUDA library (nvcc $(nvcc_version "$nvcc"))"
    build_cuda "$nvcc" nativelm_cuda "${cuda_options[@]}"
    "$root/scripts/kernel-budget.sh" "${budget[@]}" "$nvcc" "$cuda_build/libnativelm_cuda.so"
    exit 0
fi

libraries=(nativelm_cpu)
rm -f "$native_build/libnativelm_cuda.so"
$emulated && libraries+=(nativelm_emulated)
targets="${libraries[*]} nativelm_bench"
[ "$only" != native ] || targets=all
say "Native libraries (CMake)"
build_native "$native_build" "$targets" -DNATIVELM_CUDA=OFF
[ "$only" != native ] || exit 0
if nvcc=$(find_nvcc); then
    say "CUDA library (nvcc $(nvcc_version "$nvcc"))"
    build_cuda "$nvcc" nativelm_cuda
    cp "$cuda_build/libnativelm_cuda.so" "$native_build/"
    libraries+=(nativelm_cuda)
else
    echo "No nvcc was found: artifacts/nativelm will serve on the CPU only (scripts/install-cuda.sh gets a compiler)"
fi

say "Server (dotnet publish)"
rm -rf "$install_folder"
if $aot; then publish_server "$install_folder"; else publish_server "$install_folder" -p:PublishAot=false --no-self-contained; fi
for library in "${libraries[@]}"; do
    cp "$native_build/lib$library.so" "$install_folder/"
    strip --strip-unneeded "$install_folder/lib$library.so"
done
if [ -e "$root/models/demo/model.safetensors" ]; then
    mkdir -p "$install_folder/models/demo"
    find "$root/models/demo" -maxdepth 1 \( -name '*.json' -o -name '*.safetensors' -o -name '*.jinja' -o -name README.md \) -exec cp {} "$install_folder/models/demo/" \;
fi
cp "$root/LICENSE" "$install_folder/"

bytes=$(du -sb "$install_folder" | cut -f1)
[ "$bytes" -lt 100000000 ] || die "artifacts/nativelm is $bytes bytes; the limit is 100,000,000"
say "Built artifacts/nativelm ($((bytes / 1000000)) MB: ${libraries[*]})"
printf 'Run it:  scripts/serve.sh      or      artifacts/nativelm/nativelm --help\n'
