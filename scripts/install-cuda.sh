#!/usr/bin/env bash
# Puts a CUDA compiler into a folder of its own: nvcc, ptxas, cuobjdump, headers and the static runtime from Debian's non-free
# packages, under 200 MB. No driver, no system package except nvcc 11.8's host compiler g++-11; all else works as an ordinary user.
#
#   scripts/install-cuda.sh [--bookworm] [DIR]     nvcc 11.8 (sm_80 to sm_90), default folder artifacts/cuda-11.8
#   scripts/install-cuda.sh --trixie-prefix [DIR]  nvcc 12.4 (also sm_90a), default folder artifacts/cuda-12.4
#
# Downloads about 0.9 GB from the Debian mirror this machine already uses and needs 1.5 GB of temporary space (TMPDIR). A folder
# that holds the compiler already is left as it is. The build scripts find nvcc in $NATIVELM_NVCC, artifacts/cuda-*, /opt/cuda-*
# and PATH. An existing CUDA toolkit from 11.8 on serves as well: put its nvcc on PATH. Without any compiler the CPU and the
# emulated library still build.
source "$(dirname "$0")/common.sh"

suite=bookworm version=11.8 folder=
for option in "$@"; do
    case $option in
    --bookworm) suite=bookworm version=11.8 ;;
    --trixie-prefix) suite=trixie version=12.4 ;;
    -h | --help) usage ;;
    -*) die "unknown option $option (see --help)" ;;
    *) folder=$option ;;
    esac
done
folder=${folder:-$root/artifacts/cuda-$version}
libraries=usr/lib/x86_64-linux-gnu
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

[ "$(uname -m)" = x86_64 ] || die "found a $(uname -m) machine; this recipe is for x86_64. Put nvcc of NVIDIA's own toolkit on PATH instead"

# nvcc 11.8 accepts host compilers up to g++-11.
if [ "$version" = 11.8 ] && ! command -v g++-11 >/dev/null; then
    [ "$(id -u)" = 0 ] || die "nvcc 11.8 needs the host compiler g++-11; install it with: sudo apt-get install g++-11 (or take --trixie-prefix, which works with g++-12)"
    say "Installing g++-11, the host compiler of nvcc 11.8"
    install_packages g++-11
fi
if "$folder/bin/nvcc" --version 2>/dev/null | grep -q "release $version"; then
    echo "nvcc $version is already in $folder"
    exit 0
fi

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && [ -e $keyring ] ||
    die "this recipe needs a Debian machine (apt-get, dpkg-deb and $keyring); put nvcc of NVIDIA's own toolkit (11.8 or newer) on PATH instead"
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" && $1 ~ /\/debian\/?$/ { print $1; exit }')
[ -n "$mirror" ] || die "found no Debian mirror (a URI that ends in /debian, component main) among this machine's package sources"

# An apt of our own beside the system's: its own sources, lists and cache, and a machine on which nothing is installed.
work=$(mktemp -d "${TMPDIR:-/tmp}/install-cuda.XXXXXX")
trap 'rm -rf "$work" "$folder.partial"' EXIT
mkdir -p "$work"/{lists,cache,packages}/partial "$work/unpacked"
: >"$work/status"
echo "deb [signed-by=$keyring] $mirror $suite non-free" >"$work/sources.list"
private_apt() {
    apt-get -qq -o APT::Sandbox::User=root -o Dir::State="$work" -o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
}
say "Fetching nvcc $version from $suite non-free"
private_apt update || die "could not read the package list of $mirror $suite non-free"
(cd "$work/packages" && private_apt download nvidia-cuda-toolkit nvidia-cuda-dev) || die "could not download the CUDA packages from $mirror"

# Of the 2.7 GB of libraries two are needed; tar stops reading after the last one, so the unpacker's broken pipe is expected.
echo "Unpacking"
dpkg-deb --fsys-tarfile "$work"/packages/nvidia-cuda-toolkit_*.deb | tar x -C "$work/unpacked" ./usr/bin ./usr/include ./usr/lib/nvidia-cuda-toolkit
dpkg-deb --fsys-tarfile "$work"/packages/nvidia-cuda-dev_*.deb 2>/dev/null |
    tar x -C "$work/unpacked" --occurrence=1 ./usr/include/ ./$libraries/libcudart_static.a ./$libraries/libcudadevrt.a || true
[ -e "$work/unpacked/$libraries/libcudart_static.a" ] || die "nvidia-cuda-dev could not be unpacked into $work (is the disk full?)"

# The layout nvcc expects round its own binary. The packaged nvcc.profile points into /usr, ours stays inside the folder.
rm -rf "$folder.partial"
tree=$folder.partial
mkdir -p "$tree"/{bin,host,lib64,nvvm/bin}
packaged=$work/unpacked/usr/lib/nvidia-cuda-toolkit
mv "$packaged"/bin/{nvcc,crt} "$tree/bin/"
for name in cudafe++ ptxas fatbinary nvlink bin2c cuobjdump nvdisasm nvprune cu++filt __nvcc_device_query; do
    mv "$work/unpacked/usr/bin/$name" "$tree/bin/"
done
mv "$packaged/bin/cicc" "$tree/nvvm/bin/"
mv "$packaged/libdevice" "$tree/nvvm/"
mv "$work/unpacked/usr/include" "$tree/"
mv "$work/unpacked/$libraries"/*.a "$tree/lib64/"
cat >"$tree/bin/nvcc.profile" <<'PROFILE'
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH += $(TOP)/host:$(TOP)/nvvm/bin:$(_HERE_):
INCLUDES += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/lib64"
PROFILE
# nvcc calls its host compiler by the names gcc and g++, and looks here first.
if [ "$version" = 11.8 ]; then
    ln -s "$(command -v gcc-11)" "$tree/host/gcc"
    ln -s "$(command -v g++-11)" "$tree/host/g++"
fi
rm -rf "$folder"
mv "$tree" "$folder"

# Proof: a kernel compiles and links.
echo '__global__ void probe(int* x) { *x = 1; } int main() { probe<<<1, 1>>>(nullptr); }' >"$work/probe.cu"
"$folder/bin/nvcc" -arch=sm_90 -o "$work/probe" "$work/probe.cu" || die "nvcc in $folder does not compile a first kernel"
say "nvcc $version is in $folder ($(du -sm "$folder" | cut -f1) MB)"
