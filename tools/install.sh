#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 packages that building, testing and the demo need, if they are missing.
# `tools/install.sh --ci` adds what only the checks of .ci/run need.
set -euo pipefail

build=(g++ cmake ninja-build libdnnl-dev nlohmann-json3-dev libcli11-dev libfmt-dev libeigen3-dev libpng-dev
       libjpeg62-turbo-dev zlib1g-dev libminizip-dev libarchive-dev)
tests=(libgtest-dev openmpi-bin libopenmpi-dev)
data=(dataset-fashion-mnist)
oracles=(python3-torch python3-venv libopenblas0-pthread)
ci=(clang-format clang-16 libclang-rt-16-dev slurm-wlm munge)

wanted=("${build[@]}" "${tests[@]}" "${data[@]}" "${oracles[@]}")
case "${1-}" in
  "") ;;
  --ci) wanted+=("${ci[@]}") ;;
  *)
    echo "install: unknown argument '$1'; the only one is --ci" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "install: this is no Debian system; install by hand what corresponds to: ${wanted[*]}" >&2
  exit 1
fi
missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "install: not root and no sudo; have an administrator run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null; }
last_error() { grep -E '^(E|W):' "$log" | head -n 1 || tail -n 1 "$log"; }

echo "install: ${missing[*]}"
# Lists that are a little old still serve, so a failed update alone is no reason to stop.
updated=yes
apt -o APT::Update::Error-Mode=any update || updated=$(last_error)
if ! apt install --yes --no-install-recommends "${missing[@]}"; then
  reason=$(last_error)
  [[ $updated == yes ]] || reason="no network? $updated"
  echo "install: apt-get install ${missing[*]} failed: $reason" >&2
  exit 1
fi
