#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzz targets of tests/fuzz and runs each in turn: tools/fuzz.sh [seconds per target, default 5] [targets...]
# The last line counts executions and faults. A faulty input is kept as build/fuzz/crashes/<target>-..., what a run
# learns in build/fuzz/learned/<target>, from where the next run goes on.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1-5}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "fuzz: the seconds per target are '$seconds'; expected a whole number, 1 or more" >&2
  exit 2
fi
all=(safetensors weights_index dataset json unet_config dit_config jit_config autoencoder_config mixture_config toy_config scheduler_config idx npz zip tar packed cifar png jpeg
  features kernel_table level_statistics label_rows run_options snapshot measurements samples)
targets=("${@:2}")
[[ ${#targets[@]} -gt 0 ]] || targets=("${all[@]}")
for target in "${targets[@]}"; do
  if ! [[ -f tests/fuzz/fuzz_$target.cpp ]]; then
    echo "fuzz: there is no target '$target'; the targets are ${all[*]}" >&2
    exit 2
  fi
done

build=$PWD/build/fuzz
mkdir -p "$build/crashes" "$build/logs"
cmake --preset fuzz >"$build/logs/configure.log" 2>&1 || { cat "$build/logs/configure.log" >&2; exit 1; }
NINJA_STATUS="[%f/%t] " cmake --build --preset fuzz --parallel "$(nproc)" >"$build/logs/build.log" 2>&1 ||
  { tail -n 50 "$build/logs/build.log" >&2; exit 1; }

TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=0
export UBSAN_OPTIONS=print_stacktrace=1

longest_input() {
  case $1 in
    cifar) echo 9300 ;;  # three records and some
    png | jpeg) echo 16384 ;;
    *) echo 4096 ;;
  esac
}

dictionary_of() {
  local name=$1
  case $name in
    dataset | label_rows | snapshot | measurements | samples) name=safetensors ;;
    weights_index | kernel_table | level_statistics | run_options) name=json ;;
  esac
  local path=tests/fuzz/dictionaries/$name.dict
  [[ ! -f $path ]] || echo "-dict=$path"
}

executions=0
faults=0
for target in "${targets[@]}"; do
  log=$build/logs/$target.log
  mkdir -p "$build/learned/$target"
  # A size that lies must be refused before anything of that size is allocated: hence the limits.
  mapfile -t dictionary < <(dictionary_of "$target")
  "$build/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len="$(longest_input "$target")" -timeout=10 \
    -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$build/crashes/$target-" \
    "${dictionary[@]}" "$build/learned/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1
  status=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  executions=$((executions + ${runs:-0}))
  if [[ $status -eq 0 && ${runs:-0} -gt 0 ]]; then
    printf '%-17s %10d executions\n' "$target" "$runs"
  else
    faults=$((faults + 1))
    printf '%-17s FAULT (exit %d): %s\n' "$target" "$status" \
      "$(grep -E '^(fault:|SUMMARY:|.*runtime error:|.*ERROR: )' "$log" | head -n 1 | cut -c 1-300)"
    grep -E '^artifact_prefix|Test unit written' "$log" | tail -n 1
  fi
done
printf 'fuzz: %d targets, %d s each, %d executions, %d faults\n' "${#targets[@]}" "$seconds" "$executions" "$faults"
[[ $faults -eq 0 ]]
