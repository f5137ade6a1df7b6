#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds ito in build/ and runs every test there. Arguments go to ctest: tools/test.sh -R unet
# With ITO_REQUIRE_ORACLES=1 a test whose oracle (PyTorch) is missing fails; without it, it is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s (%d s)\n' "$1" "$SECONDS"; }

say "install"
tools/install.sh
say "configure"
mkdir -p build
if ! cmake --preset default >build/configure.log 2>&1; then
  cat build/configure.log >&2
  exit 1
fi
say "build"
NINJA_STATUS="[%f/%t] " cmake --build --preset default --parallel "$(nproc)"
say "test"
ctest --preset default --parallel 2 "$@"
say "done: build/ito is ready"
