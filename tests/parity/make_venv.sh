#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_venv.sh DIR: a Python environment in DIR with diffusers, on Debian's torch. Made once and kept until the list of
# packages or this script changes. On failure says why in one line, leaves no half-made environment and exits 1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1?make_venv: expected the folder to make}
list=$here/diffusers-requirements.txt
stamp=$(cat "$list" "$here/make_venv.sh" | sha256sum | cut -d ' ' -f 1)
system=/usr/bin/python3

give_up() {
  echo "make_venv: $1" >&2
  exit 1
}

mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"
flock 9
# The base interpreter is part of what was stamped: the environment links to it.
stamp+=" $($system --version 2>/dev/null)" || give_up "found no $system; install python3"
[[ "$(cat "$dir/stamp" 2>/dev/null)" == "$stamp" ]] && exit 0

$system -c 'import torch' 2>/dev/null || give_up "$system has no torch; run tools/install.sh"
$system -c 'import ensurepip' 2>/dev/null || give_up "$system cannot make environments; run tools/install.sh"
if [[ -e $dir ]]; then
  [[ -f $dir/pyvenv.cfg ]] || give_up "$dir exists and is no Python environment; remove it"
  rm -rf "$dir"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# --no-deps: the list is complete, and a dependency on torch could only bring a second one.
if ! { $system -m venv --system-site-packages "$dir" &&
       "$dir/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --only-binary :all: \
         --retries 1 --timeout 20 -r "$list" &&
       "$dir/bin/python" -c 'import diffusers; from diffusers import DDPMPipeline, DDIMPipeline'; } \
     >"$log" 2>&1 </dev/null; then
  rm -rf "$dir"
  give_up "no diffusers (no network?): $(grep -iE '^(error|.*Error):?' "$log" | tail -n 1 || tail -n 1 "$log")"
fi
echo "$stamp" >"$dir/stamp"
