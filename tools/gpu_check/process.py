# SPDX-License-Identifier: Apache-2.0
"""Child processes with a time limit, each in a session of its own so that its children end with it, and the time that
all parts share."""
import os
import re
import signal
import subprocess
import threading
import time

TAIL = 4000  # characters of an output that go into a result


class Clock:
    """The time that is left of a limit; a part has its own, inside of the whole run's."""

    def __init__(self, limit, outer=None):
        self.start = time.monotonic()
        self.limit = limit
        self.outer = outer

    def seconds(self):
        return time.monotonic() - self.start

    def left(self):
        own = self.limit - self.seconds()
        return own if self.outer is None else min(own, self.outer.left())


class Outcome:
    """How a child ended: `code` is its exit code, or minus the signal that ended it."""

    def __init__(self, command, code, seconds, timed_out, out, err):
        self.command, self.code, self.seconds, self.timed_out = command, code, seconds, timed_out
        self.out, self.err = out, err

    @property
    def text(self):
        return self.out + "\n" + self.err

    def ending(self):
        if self.timed_out:
            return f"did not end within {self.seconds:.0f} s"
        if self.code < 0:
            return f"ended by {signal_name(-self.code)}"
        return f"exit code {self.code}"

    def last_line(self):
        """What it said last, errors first."""
        for text in (self.err, self.out):
            lines = [line.strip() for line in text.splitlines() if line.strip() and not is_progress(line)]
            if lines:
                return lines[-1]
        return ""

    def record(self):
        return {"command": self.command, "code": self.code, "seconds": round(self.seconds, 3),
                "timed_out": self.timed_out, "out": self.out[-TAIL:], "err": self.err[-TAIL:]}


def is_progress(line):
    return re.match(r"\s*(training|sampling)\b.*\d", line) is not None


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_children = set()
_lock = threading.RLock()  # entered again by the handler of a signal
_stopped = False


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def end(process):
    """Kills what is left of it. A process that waits inside of a driver that hangs cannot be killed: it is left."""
    kill_group(process)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    with _lock:
        _children.discard(process)


def kill_all():
    """At an interruption: no child stays behind, and none starts."""
    global _stopped
    with _lock:
        _stopped = True
        for process in list(_children):
            kill_group(process)


def run(command, limit, log, env=None, cwd=None):
    """Runs `command` for at most `limit` seconds. Its outputs go to log.out and log.err, so that they are there even if
    this process is killed, and so that a child that writes much never blocks."""
    command = [str(word) for word in command]
    start = time.monotonic()
    if limit <= 0 or _stopped:
        return Outcome(command, -signal.SIGKILL, 0.0, True, "", "no time was left to start it")
    with open(f"{log}.out", "wb") as out, open(f"{log}.err", "wb") as err:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd,
                                       start_new_session=True)
        except OSError as error:
            return Outcome(command, 127, 0.0, False, "", f"{command[0]} does not start: {error.strerror}")
        with _lock:
            _children.add(process)
            if _stopped:
                kill_group(process)
        timed_out = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            end(process)
    code = -signal.SIGKILL if process.returncode is None else process.returncode
    return Outcome(command, code, time.monotonic() - start, timed_out, read_text(f"{log}.out"),
                   read_text(f"{log}.err"))


def read_text(path):
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "replace").replace("\r", "\n")


class Server:
    """A program that answers each line on its standard input with one JSON line, within a time limit each."""

    def __init__(self, command, log, env=None):
        self.command = [str(word) for word in command]
        self.log = log
        self.err = open(f"{log}.err", "wb")
        self.lines = []
        self.ended = False
        self.arrived = threading.Condition()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err,
                                        env=env, text=True, start_new_session=True)
        with _lock:
            _children.add(self.process)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if not line.startswith("{"):  # what a library prints there
                continue
            with self.arrived:
                self.lines.append(line)
                self.arrived.notify()
        with self.arrived:
            self.ended = True
            self.arrived.notify()

    def ask(self, line, limit):
        """The answer's text; TimeoutError or EOFError, whose text says how the program ended."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError:
            pass
        with self.arrived:
            self.arrived.wait_for(lambda: self.lines or self.ended, max(0.0, limit))
            if self.lines:
                return self.lines.pop(0)
            if not self.ended:
                raise TimeoutError(f"no answer to '{line}' within {limit:.0f} s")
        code = self.process.wait(10)
        self.err.flush()
        said = [text for text in read_text(f"{self.log}.err").splitlines() if text.strip()]
        raise EOFError(Outcome(self.command, code, 0, False, "", "").ending() + (f": {said[-1]}" if said else ""))

    def close(self):
        end(self.process)
        self.err.close()
