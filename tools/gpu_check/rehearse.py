# SPDX-License-Identifier: Apache-2.0
"""--rehearse: runs the pack where there is nothing but it, as far as this machine lets that be made: a copy in a folder
elsewhere, an empty environment, no network, and in place of the source tree, the toolkit and the data sets empty
folders. Without a GPU every part that needs one must say `no device`, and nothing else may fail."""
import json
import os
import shutil
import subprocess
import tempfile

import packing
from results import FAILED, NO_DEVICE, PASSED, TIMED_OUT

HIDDEN = ["/usr/local/cuda", "/usr/share/datasets"]
NEEDS_NO_DEVICE = ("pack",)

# $1: 1 if mounts are possible; $2: the pack; the rest: what to hide.
INSIDE = r"""
set -eu
may_mount=$1; pack=$2; shift 2
if [ "$may_mount" = 1 ]; then
  for folder in "$@"; do [ ! -d "$folder" ] || mount -t tmpfs -o ro none "$folder"; done
fi
cd "$pack"
exec env -i PATH=/usr/bin:/bin HOME="$pack" ./gpu_check.sh
"""


def isolation():
    """The strongest of what this machine permits: (words before the command, whether mounts are possible, in words)."""
    ways = [(["unshare", "--net", "--mount"], True, "no network, tree, toolkit or data sets"),
            (["unshare", "--map-root-user", "--net", "--mount"], True, "no network, tree, toolkit or data sets"),
            (["unshare", "--net"], False, "no network"),
            (["unshare", "--map-root-user", "--net"], False, "no network")]
    for words, mounts, text in ways:
        trial = ["sh", "-c", "mount -t tmpfs none /mnt" if mounts else "true"]
        try:
            if subprocess.run(words + trial, capture_output=True, timeout=20).returncode == 0:
                return words, mounts, text
        except (OSError, subprocess.TimeoutExpired):
            continue
    return [], False, "as it is: this machine permits no namespaces"


def rehearse(place, target, say):
    """Returns the exit code."""
    if not os.path.exists(os.path.join(target, "pack.json")):
        if not packing.find_nvcc():
            say("SKIPPED: no pack, and no nvcc to build one")
            return 77
        say(f"{target} is not there: build it with tools/gpu_check.sh --pack")
        return 2
    words, mounts, text = isolation()
    hidden = [os.path.realpath(folder) for folder in [place.root] + HIDDEN]
    with tempfile.TemporaryDirectory(prefix="gpu-pack-") as folder:
        copy = os.path.join(folder, "pack")
        shutil.copytree(target, copy)
        say(f"rehearsal in {copy}: {text}")
        command = words + ["sh", "-c", INSIDE, "sh", "1" if mounts else "0", copy] + hidden
        done = subprocess.run(command, cwd=folder)
        try:
            with open(os.path.join(copy, "gpu_check-results/report.json")) as file:
                report = json.load(file)
        except (OSError, ValueError) as error:
            say(f"rehearsal failed: no report: {error}; exit code {done.returncode}")
            return 1
    return verdict(report, say)


def verdict(report, say):
    if "none" not in report["device"]:
        bad = [entry for entry in report["parts"] if entry["status"] in (FAILED, TIMED_OUT)]
    else:
        bad = [entry for entry in report["parts"]
               if entry["status"] != (PASSED if entry["part"] in NEEDS_NO_DEVICE else NO_DEVICE)]
    for entry in bad:
        say(f"rehearsal failed: {entry['part']} says {entry['status']}: {entry['summary']}")
    if not report["parts"]:
        say("rehearsal failed: no part ran")
        return 1
    if not bad:
        say(f"rehearsal: all {len(report['parts'])} parts as they should be")
    return 1 if bad else 0
