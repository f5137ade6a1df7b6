#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the tables and pictures of docs/inverse-problems.md anew: solvers scored against exact posteriors, and images
# restored with the demo's model, which is trained first if build/demo has none. PAPER=1 takes the published numbers of
# steps for the images.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! -f build/demo/run/latest ]]; then
  tools/demo.sh
else
  cmake --build build --parallel "$(nproc)" --target ito
fi
say() { printf '== %s (%d s)\n' "$1" "$SECONDS"; }
say "images"
tools/bench/restore_images.py --checkpoint build/demo/run ${PAPER:+--paper}
say "exact posteriors"
tools/bench/posterior_scores.py --page docs/inverse-problems.md
say "done: docs/inverse-problems.md"
