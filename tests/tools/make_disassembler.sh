#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_disassembler.sh DIR: nvdisasm as DIR/nvdisasm. Made once and kept until this script changes. On failure says why
# in one line, leaves nothing half-made and exits 1. The wheel is the oldest there is: it reads what nvcc 13.0 writes,
# and no wheel of 13.0 exists.
set -euo pipefail

wheel=nvidia-cuda-nvdisasm==13.2.51
dir=${1?make_disassembler: expected the folder to make}
system=/usr/bin/python3

give_up() {
  echo "make_disassembler: $1" >&2
  exit 1
}

mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"
flock 9
stamp=$(sha256sum <"${BASH_SOURCE[0]}" | cut -d ' ' -f 1)
[[ "$(cat "$dir/stamp" 2>/dev/null)" == "$stamp" ]] && exit 0

if [[ -e $dir ]]; then
  [[ -f $dir/stamp ]] || give_up "$dir exists and is not of this script's making; remove it"
  rm -rf "$dir"
fi
$system -c 'import ensurepip' 2>/dev/null || give_up "$system cannot make environments; run tools/install.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! { $system -m venv "$work/venv" &&
       "$work/venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary :all: \
         --retries 1 --timeout 20 --target "$work/wheel" "$wheel"; } >"$work/log" 2>&1 </dev/null; then
  give_up "no $wheel (no network?): $(grep -iE '^(error|.*Error):?' "$work/log" | tail -n 1 || tail -n 1 "$work/log")"
fi
program=$(find "$work/wheel" -type f -name nvdisasm | head -n 1)
[[ -n $program ]] || give_up "$wheel holds no nvdisasm"
mkdir "$dir"
install -m 755 "$program" "$dir/nvdisasm"
if ! "$dir/nvdisasm" --version >"$work/log" 2>&1; then
  rm -rf "$dir"
  give_up "nvdisasm does not run: $(tail -n 1 "$work/log")"
fi
echo "$stamp" >"$dir/stamp"
