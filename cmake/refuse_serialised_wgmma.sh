#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the compiler's command line, and fails where ptxas says that it serialises wgmma (C7510 to C7520): it then waits
# behind every product, which is slower than no wgmma at all. ptxas says so as information, which no flag makes an error.
said=$("$@" 2>&1)
status=$?
[ -z "$said" ] || printf '%s\n' "$said" >&2
case $said in
*wgmma*serialized*) exit 1 ;;
esac
exit $status
