#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one command for a machine with a GPU: checks that ito-cuda is right on it and how fast it is; docs/gpu.md says how
# to read it. Runs alike in the source tree, after `cmake --preset cuda` and its build, and in a pack.
#
#   tools/gpu_check.sh                  all parts, under ten minutes; results in ./gpu_check-results
#   tools/gpu_check.sh --only words,tests --out DIR
#   tools/gpu_check.sh --pack           builds build/gpu-pack/, to be copied to a machine that has nothing but a driver
#   tools/gpu_check.sh --rehearse       runs that pack where there is nothing but it: no network, no tree, no toolkit
#
# Needs python3 (3.8 or newer), and nothing but its standard library.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! command -v python3 >/dev/null; then
  echo "gpu_check: no python3 in PATH; install python3, 3.8 or newer" >&2
  exit 2
fi
exec python3 -B "$here/gpu_check" "$@"
