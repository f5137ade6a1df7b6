#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds ito, trains a small model on Fashion-MNIST, draws 64 images from it, judges them, and
# asks the model how probable it finds 16 images of clothing and 16 of noise.
# Everything lands in build/demo, which is replaced. DEMO_STEPS sets the training steps (1000).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps=${DEMO_STEPS:-1000}
if ! [[ $steps =~ ^[1-9][0-9]*$ ]]; then
  echo "demo: DEMO_STEPS is '$steps'; expected a number of training steps, 1 or more" >&2
  exit 2
fi
warmup=$((steps < 500 ? steps / 10 : 50))
export LC_ALL=C  # decimal points
say() { printf '== %s (%d s)\n' "$1" "$SECONDS"; }
# The number of a key in a JSON file of ito's, which has a key a line.
number() { sed -n "s/^ *\"$2\": \([-0-9.e]*\),*$/\1/p" "$1"; }

say "install"
tools/install.sh
say "build"
mkdir -p build
if ! cmake --preset default >build/configure.log 2>&1; then
  cat build/configure.log >&2
  exit 1
fi
NINJA_STATUS="[%f/%t] " cmake --build --preset default --parallel "$(nproc)" --target ito

demo=build/demo
rm -rf $demo
mkdir -p $demo
# Rectified flow: a straight line from data to noise, timesteps drawn from the middle of it more than from its ends.
echo '{"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}' >$demo/flow.json
say "train $steps steps"
build/ito train --data fashion-mnist --model demo --out $demo/run --steps "$steps" --batch 64 --seed 1 \
  --lr 2e-3 --lr-schedule cosine --warmup "$warmup" --ema-decay 0.995 \
  --scheduler $demo/flow.json --prediction-type flow_prediction
say "sample 64 images"
build/ito sample --checkpoint $demo/run --count 64 --sampler flow-euler --steps 50 --seed 1 --strip --out $demo
say "evaluate"
build/ito eval --samples $demo/samples.safetensors --data fashion-mnist --out $demo/eval.json

say "likelihood of 16 test images and of 16 images of noise"
# Noise is what a standard normal distribution looks like as an image: a Gaussian mixture of one component.
zeros=$(printf '0, %.0s' {1..783})0
echo "{\"_class_name\": \"GaussianMixture\", \"shape\": [1, 28, 28], \"weights\": [1], \"means\": [[$zeros]]," \
  "\"variances\": [1]}" >$demo/noise.json
build/ito sample --checkpoint $demo/noise.json --count 16 --sampler ddim --steps 10 --seed 2 --npz --out $demo/noise
likelihood() {
  build/ito likelihood --checkpoint $demo/run --count 16 --dequantise uniform --sampling-eps 1e-3 \
    --rtol 1e-2 --atol 1e-2 "$@"
}
likelihood --data fashion-mnist --split test --out $demo/likelihood-of-images
likelihood --data $demo/noise/samples.npz --out $demo/likelihood-of-noise

say "done"
images=$(number $demo/likelihood-of-images/likelihood.json bits_per_dim)
noise=$(number $demo/likelihood-of-noise/likelihood.json bits_per_dim)
verdict=$(awk "BEGIN { print ($images < $noise ? \"more\" : \"LESS\") }")
printf '%-11s %s\n' \
  distance "$(printf 'sliced Wasserstein %.3f from test images; of as many training images %.3f' \
    "$(number $demo/eval.json sliced_wasserstein)" "$(number $demo/eval.json sliced_wasserstein_of_training_images)")" \
  likelihood "$(printf 'test images %.2f bits per dimension, noise %.2f: the test images are the %s probable' \
    "$images" "$noise" "$verdict")" \
  strip "$demo/strip.png: an image noised, and as it came from noise" \
  picture $demo/samples.png \
  "loss curve" $demo/run/loss.svg \
  checkpoint "$demo/run/$(cat $demo/run/latest)"
