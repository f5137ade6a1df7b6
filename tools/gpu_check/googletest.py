# SPDX-License-Identifier: Apache-2.0
"""Runs the suites of tests.cuda, each in a process of its own with its own time limit: a CUDA error that sticks to a
process, a crash or a hang costs the rest of one suite at most, and that rest is run again without the culprit."""
import concurrent.futures
import os
import re

from process import Clock, run

ENDED = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?),?(?: where .*)? \((\d+) ms\)$")
STARTED = re.compile(r"\[ RUN +\] (\S+)$")
MESSAGE = 1500  # characters of a failure's message that are kept
RESTARTS = 4    # of one suite, after a crash or a hang


def list_tests(program, limit, log, env):
    """{suite: [test, ...]} in the program's order."""
    outcome = run([program, "--gtest_list_tests"], limit, log, env)
    suites, suite = {}, None
    for line in outcome.out.splitlines():
        name = line.split("#")[0].strip()
        if line.startswith("  ") and suite:
            suites[suite].append(name)
        elif re.fullmatch(r"[\w/]+\.", name):
            suite = name[:-1]
            suites[suite] = []
    if outcome.code != 0 or not suites:
        raise RuntimeError(f"the list of tests: {outcome.ending()}: {outcome.last_line()}")
    return suites


def parse(text):
    """({test: (status, message)}, the test that was running at the end or None)."""
    results, running, message = {}, None, []
    for line in text.splitlines():
        start, end = STARTED.search(line), ENDED.search(line)
        if start:
            running, message = start.group(1), []
        elif end and running and end.group(2) == running:
            status = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}[end.group(1)]
            results[running] = (status, "\n".join(message)[:MESSAGE])
            running = None
        elif running:
            message.append(line)
    return results, running


class Tests:
    def __init__(self, program, env, logs, workers=None):
        self.program, self.env, self.logs = program, env, logs
        # More would not end sooner: processes share a card by turns, and each suite has a time limit of its own.
        self.workers = workers or max(1, min(2, os.cpu_count() or 1))

    def process(self, tests, limit, log, extra=None):
        env = dict(self.env, **(extra or {}))
        command = [self.program, "--gtest_color=no", "--gtest_filter=" + ":".join(tests)]
        return run(command, limit, os.path.join(self.logs, log), env)

    def suite(self, name, tests, limit, extra=None):
        """Runs the tests of one suite until each has a result."""
        clock, log = Clock(limit), name.replace("/", "_")
        results, order, left, runs = {}, [f"{name}.{test}" for test in tests], None, 0
        endings = []
        left = list(order)
        while left and runs <= RESTARTS:
            outcome = self.process(left, clock.left(), f"{log}-{runs}" if runs else log, extra)
            runs += 1
            got, running = parse(outcome.out)
            results.update(got)
            if running in left:
                status = "timed out" if outcome.timed_out else "failed"
                results[running] = (status, f"{outcome.ending()}: {outcome.last_line()}"[:MESSAGE])
            left = [test for test in left if test not in results]
            if left or outcome.code not in (0, 1):
                endings.append(f"{outcome.ending()}: {outcome.last_line()}")
            if not got and not running:
                break
        for test in left:
            results[test] = ("timed out" if clock.left() <= 0 else "failed", "not run: " + (endings or [""])[-1])
        if endings and all(status in ("passed", "skipped") for status, _ in results.values()):
            results[order[-1]] = ("failed", f"the suite's end: {endings[-1]}")
        count = {status: sum(1 for found, _ in results.values() if found == status)
                 for status in ("passed", "failed", "skipped", "timed out")}
        return {"suite": name, "seconds": round(clock.seconds(), 2), "count": count, "endings": endings,
                "bad": [{"test": test, "status": status, "message": message}
                        for test, (status, message) in results.items() if status in ("failed", "timed out")],
                "skipped": {test: message.strip() for test, (status, message) in results.items()
                            if status == "skipped"}}

    def suites(self, chosen, suite_limit, clock):
        """All of {suite: tests}, a few at a time."""
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda item: self.suite(item[0], item[1], min(suite_limit, clock.left())),
                                 chosen.items()))

    def again(self, tests, limit, clock):
        """Each test alone, with launches that wait (so that an error names its kernel), and on the portable kernels
        (so that one sees whether a library or our kernels are at fault)."""
        ways = {"alone": {"ITO_BLOCKING_LAUNCHES": "1"}, "portable": {"ITO_PORTABLE_KERNELS": "1"}}

        def once(job):
            number, test, way = job
            outcome = self.process([test], min(limit, clock.left()), f"again-{number}-{way}", ways[way])
            results, running = parse(outcome.out)
            if test in results:
                return test, way, results[test]
            status = "timed out" if outcome.timed_out else "failed"
            return test, way, (status, f"{outcome.ending()}: {outcome.last_line()}")

        jobs = [(number, test, way) for number, test in enumerate(tests) for way in ways]
        answers = {test: {} for test in tests}
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            for test, way, (status, message) in pool.map(once, jobs):
                answers[test][way] = {"status": status, "message": message}
        return answers
