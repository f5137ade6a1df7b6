#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The release, made and tried by one command:
#
#   tools/package.sh                  build/package/: two .deb and a tarball, with the CUDA programs, tried in empty roots
#   tools/package.sh --without-cuda   the same where there is no CUDA Toolkit: the CPU alone
#   tools/package.sh --make           makes them and tries nothing
#
# The .deb is linked with Debian's libraries, and depends on them; ito-mpi is a package of its own, since it alone needs
# Open MPI. The tarball needs libc and, for a GPU, the driver: Debian's libraries are in it, with their licences. CUDA's
# own are linked into the programs, or found with the driver. It is tried in a root that holds libc alone; the .deb in one
# that mmdebstrap makes. Exit code 77, with a line, where roots cannot be made or entered here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cuda=yes try=yes
for word in "$@"; do
  case $word in
    --without-cuda) cuda=no ;;
    --make) try=no ;;
    *) echo "package: unknown argument '$word'; expected --without-cuda or --make" >&2; exit 2 ;;
  esac
done
version=$(sed -n 's/^project(ito VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
out=$PWD/build/package name=ito-$version-linux-$(uname -m)
stage=$out/$name
jobs=$(nproc)
say() { printf '== %s\n' "$*"; }

say "build"
mkdir -p "$out"
choices=(-DITO_TESTS=OFF -DITO_SIM=OFF)
if [[ $cuda == yes ]]; then choices+=(-DITO_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=80-real;90a-real;100-real;120"); fi
cmake -S . -B "$out/build" -G Ninja -DCMAKE_BUILD_TYPE=Release "${choices[@]}" >"$out.log" || { cat "$out.log"; exit 1; }
cmake --build "$out/build" --parallel "$jobs" >>"$out.log" || { tail -n 30 "$out.log"; exit 1; }

say "packages"
rm -f "$out"/*.deb
cpack --config "$out/build/CPackConfig.cmake" -G DEB -B "$out/cpack" >>"$out.log" || { tail -n 30 "$out.log"; exit 1; }
cp "$out"/cpack/*.deb "$out"
rm -rf "$out/cpack"

say "tarball"
rm -rf "$stage"
for part in ito mpi; do cmake --install "$out/build" --prefix "$stage" --component $part --strip >>"$out.log"; done
# Libraries that a file is loaded with and the tarball lacks, but for libc's own. MPI is the other machine's.
libc='^(linux-vdso|ld-linux.*|libc|libm|libdl|libpthread|librt)\.so'
needed_by() { { ldd "$1" 2>/dev/null || true; } | sed -n 's/^\t\([^ ]*\) => \(\/[^ ]*\).*/\1 \2/p'; }
# By the file's name: a package may say /lib where the file is in /usr/lib.
package_of() { { dpkg-query -S "*/$(basename "$1")" 2>/dev/null || true; } | sed -n '1s/:.*//p'; }
licences=$stage/share/doc/ito/licences
mkdir -p "$licences"
find "$stage/bin" "$stage/lib" "$stage/libexec" -type f ! -name 'ito-mpi.so' -print0 |
  while IFS= read -r -d '' file; do needed_by "$file"; done | sort -u >"$out/needed"
while read -r library path; do
  if [[ $library =~ $libc || $path == "$stage"/* ]]; then continue; fi
  path=$(realpath "$path")
  package=$(package_of "$path")
  [[ -n $package ]] || { echo "package: $path is of no package, whose licence would go with it" >&2; exit 1; }
  install -m 644 "$path" "$stage/lib/ito/$library"
  cp "/usr/share/doc/$package/copyright" "$licences/$package"
done <"$out/needed"
date=$(git log -1 --format=%ct 2>/dev/null || date +%s)
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$date" -C "$out" -cf - "$name" | gzip -n >"$stage.tar.gz"
ls -l "$out"/*.deb "$stage.tar.gz"
[[ $try == yes ]] || exit 0

skip() { echo "package: made, and not tried: $*" >&2; exit 77; }
[[ $(id -u) -eq 0 ]] || skip "entering another root needs to be root"
unshare --mount true 2>/dev/null || skip "this machine lets nobody make a mount namespace"
# In a root with /proc, which the command finds itself by, and no network.
inside() {
  local root=$1
  shift
  mkdir -p "$root/proc" "$root/tmp"
  unshare --mount --net -- sh -c 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot "$root" "$@"' sh \
    "$root" "$@"
}
mixture=share/doc/ito/docs/examples/mixture.json
sampled() { [[ -s $1/tmp/drawn/samples.safetensors ]] || { echo "package: $1: nothing was drawn" >&2; exit 1; }; }

say "the tarball in a root with libc alone"
bare=$out/root-bare
rm -rf "$bare"
mkdir -p "$bare"
(cd "$out" && apt-get -qq download libc6 >/dev/null 2>&1) || skip "no package of libc can be had (no network?)"
for package in "$out"/libc6_*.deb; do dpkg-deb -x "$package" "$bare"; done
rm -f "$out"/libc6_*.deb
tar -C "$bare" -xzf "$stage.tar.gz"
inside "$bare" "/$name/bin/ito" sample --device cpu --checkpoint "/$name/$mixture" --out /tmp/drawn --count 4 --steps 10
sampled "$bare"
cc -std=c99 docs/examples/restore.c -I"$stage/include" -L"$stage/lib" -lito -Wl,-rpath,"/$name/lib" -o "$bare/tmp/restore"
inside "$bare" /tmp/restore "/$name/$mixture"
if [[ $cuda == yes ]]; then  # it starts, and finds no driver
  inside "$bare" "/$name/libexec/ito/ito-cuda" --help >/dev/null
fi

say "the package in a root of Debian's"
command -v mmdebstrap >/dev/null || skip "the .deb needs mmdebstrap (apt-get install mmdebstrap)"
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
root=$out/root-debian
rm -rf "$root"
package=$(cd "$out" && ls ito_*.deb)
mmdebstrap --quiet --variant=apt --include=python3-numpy --customize-hook="copy-in $out/$package /tmp" \
  --customize-hook='chroot "$1" apt-get -qq install --yes --no-install-recommends /tmp/'"$package" \
  "$release" "$root" || skip "mmdebstrap could not make a root"
inside "$root" ito sample --checkpoint "/usr/$mixture" --out /tmp/drawn --count 4 --steps 10
sampled "$root"
inside "$root" python3 /usr/share/doc/ito/docs/examples/denoise.py "/usr/$mixture"
rm -rf "$bare" "$root"
say "tried: the command and the library, from the tarball and from the package"
