#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is installed works where it is put: the command finds its workers, a C project finds the library by
# find_package(ito) and by pkg-config, Python finds it beside itself. Usage: test_installed.sh BUILD FOLDER
set -euo pipefail
unset ITO_LIBRARY
build=$1 folder=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rm -rf "$folder"
mkdir -p "$folder"
cmake --install "$build" --prefix "$folder/first" >"$folder/install.log"
mv "$folder/first" "$folder/prefix"  # nothing may know where it was installed
prefix=$folder/prefix
mixture=$prefix/share/doc/ito/docs/examples/mixture.json
cmp "$here/docs/examples/mixture.json" "$mixture"

"$prefix/bin/ito" sample --checkpoint "$mixture" --out "$folder/drawn" --count 2 --steps 5 --raw >/dev/null
test -s "$folder/drawn/samples.safetensors"

strict="-Wall -Wextra -Werror -pedantic"
cmake -S "$here/docs/examples" -B "$folder/example" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="$strict" \
  >"$folder/example.log"
cmake --build "$folder/example" >>"$folder/example.log" || { cat "$folder/example.log"; exit 1; }
"$folder/example/restore" "$mixture" 2>"$folder/stderr" | tee "$folder/restore.log"
grep -q "mean difference" "$folder/restore.log"
test ! -s "$folder/stderr"
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ito.pc)")
  # shellcheck disable=SC2046
  cc -std=c99 $strict "$here/docs/examples/restore.c" $(pkg-config --cflags --libs ito) -lm -o "$folder/by_pkg_config"
fi

python=/usr/bin/python3
if $python -c "import numpy" 2>/dev/null; then
  PYTHONPATH=$prefix/lib/python3/dist-packages $python "$here/docs/examples/denoise.py" "$mixture" | tee "$folder/denoise.log"
  grep -q "^refused: sampler" "$folder/denoise.log"
else
  echo "no numpy for $python (package python3-numpy): its example is not run"
fi
