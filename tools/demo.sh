#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds ito, trains a small model on Fashion-MNIST, draws 64 images from it and judges them.
# Everything lands in build/demo, which is replaced. DEMO_STEPS sets the training steps (1000).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps=${DEMO_STEPS:-1000}
if ! [[ $steps =~ ^[1-9][0-9]*$ ]]; then
  echo "demo: DEMO_STEPS is '$steps'; expected a number of training steps, 1 or more" >&2
  exit 2
fi
warmup=$((steps < 500 ? steps / 10 : 50))
say() { printf '== %s (%d s)\n' "$1" "$SECONDS"; }

say "install"
tools/install.sh
say "build"
mkdir -p build
if ! cmake --preset default >build/configure.log 2>&1; then
  cat build/configure.log >&2
  exit 1
fi
NINJA_STATUS="[%f/%t] " cmake --build --preset default --parallel "$(nproc)" --target ito

rm -rf build/demo
say "train $steps steps"
build/ito train --data fashion-mnist --model demo --out build/demo/run --steps "$steps" --batch 64 --seed 1 \
  --lr 2e-3 --lr-schedule cosine --warmup "$warmup" --beta-schedule squaredcos_cap_v2 --ema-decay 0.995
say "sample 64 images"
build/ito sample --checkpoint build/demo/run --count 64 --sampler ddim --steps 50 --seed 1 --batch 64 --out build/demo
say "evaluate"
build/ito eval --samples build/demo/samples.safetensors --data fashion-mnist
say "done"
cat <<END
picture     build/demo/samples.png
loss curve  build/demo/run/loss.svg
checkpoint  build/demo/run/$(cat build/demo/run/latest)
END
