# SPDX-License-Identifier: Apache-2.0
"""What every part works with: the place, the libraries, the device, time, and how a program's end is judged."""
import json
import os

from place import NO_DEVICE_EXIT
from process import run
from results import FAILED, NO_DEVICE, PASSED, TIMED_OUT, Result

PORTABLE = {"ITO_PORTABLE_KERNELS": "1"}


class Context:
    def __init__(self, place, libraries, folder, logs):
        self.place, self.libraries, self.folder, self.logs = place, libraries, folder, logs
        self.env = libraries.environment
        self.clock = None  # of the part that runs
        self.device = self.find_device()

    def find_device(self):
        """{"name": ...} of the card, or {"none": reason}, or {"trouble": ...} if the program did not even say."""
        outcome = run([self.place.tests, "--gtest_filter=-*"], 90, os.path.join(self.logs, "device"), self.env)
        if outcome.code == NO_DEVICE_EXIT and "SKIPPED: " in outcome.out:
            return {"none": outcome.out.split("SKIPPED: ", 1)[1].splitlines()[0]}
        if outcome.code == 0 and "device: " in outcome.out:
            return {"name": outcome.out.split("device: ", 1)[1].splitlines()[0]}
        return {"trouble": f"{self.place.tests} {outcome.ending()}: {outcome.last_line()}"}

    def run(self, command, limit, log, extra=None):
        env = dict(self.env, **(extra or {}))
        return run(command, min(limit, self.clock.left()), os.path.join(self.logs, log), env)

    def ito(self, words, limit, log, extra=None):
        return self.run([self.place.ito] + list(words), limit, log, extra)

    def judge(self, outcome):
        """None if the program did what it should; else the Result that says how it did not. A program that refuses for
        want of a device must give the very reason that tests.cuda gave: another one is a failure."""
        if outcome.timed_out:
            return Result(TIMED_OUT, f"{os.path.basename(outcome.command[0])} {outcome.ending()}",
                          runs=[outcome.record()])
        if outcome.code == 0:
            return None
        reason = self.device.get("none")
        if reason and reason in outcome.text:
            return Result(NO_DEVICE, reason, runs=[outcome.record()])
        return Result(FAILED, f"{os.path.basename(outcome.command[0])} {' '.join(outcome.command[1:3])}: "
                              f"{outcome.ending()}: {outcome.last_line()}", runs=[outcome.record()])

    def scratch(self, name):
        """A fresh path inside of the results for what a program writes."""
        base = os.path.join(self.folder, "work")
        os.makedirs(base, exist_ok=True)
        path, number = os.path.join(base, name), 0
        while os.path.exists(path):
            number += 1
            path = os.path.join(base, f"{name}-{number}")
        return path

    def words(self, words, **places):
        """A recorded command line with {data}, {pictures}, {out}, {checkpoint}, {golden} filled in."""
        places.setdefault("data", os.path.join(self.place.recording, "data/train-images-idx3-ubyte.gz"))
        places.setdefault("pictures", os.path.join(self.place.recording, "data/pictures.bin"))
        places.setdefault("checkpoint", os.path.join(self.place.recording, "model"))
        places.setdefault("golden", os.path.join(self.place.recording, "golden"))
        return [word.format(**places) for word in words]


def json_lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


def worst(results):
    """The status of several: a failure before a time-out before what could not be done before what passed."""
    for status in (FAILED, TIMED_OUT, NO_DEVICE, PASSED):
        if any(result.status == status for result in results):
            return status
    return PASSED
