#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles every kernel through dialect/cuda with nvcc, objects only, for sm_80 and sm_90. Without nvcc it says that it
# skips (exit code 77). Needs no GPU; shows that the text is CUDA, not that it is right on a GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nvcc=$(command -v nvcc || true)
[[ -n $nvcc || ! -x /usr/local/cuda/bin/nvcc ]] || nvcc=/usr/local/cuda/bin/nvcc
if [[ -z $nvcc ]]; then
  echo "check_cuda: SKIPPED: no nvcc in PATH or /usr/local/cuda/bin"
  exit 77
fi

out=build/check-cuda
mkdir -p "$out"
compile() {
  local kernel=$1
  local object="$out/${kernel//\//.}.o"
  if ! "$nvcc" -std=c++20 -O2 --fmad=false --expt-relaxed-constexpr --expt-extended-lambda --Werror all-warnings \
      -I. -Ikernels/dialect/cuda -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
      -c "$kernel" -o "$object" >"$object.log" 2>&1; then
    printf 'check_cuda: %s does not compile:\n%s\n' "$kernel" "$(head -n 20 "$object.log")" >&2
    return 1
  fi
}
export nvcc out
export -f compile
kernels=(kernels/nn/*.cu kernels/diffusion/*.cu kernels/optim/*.cu)
printf '%s\n' "${kernels[@]}" | xargs -P "$(nproc)" -I{} bash -c 'compile "{}"' ||
  { echo "check_cuda: failed" >&2; exit 1; }
echo "check_cuda: ${#kernels[@]} kernel files compile for sm_80 and sm_90"
