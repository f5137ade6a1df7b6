# SPDX-License-Identifier: Apache-2.0
"""What a part found: JSON files that are whole or absent, the table for people, and the line for docs/gpu.md."""
import json
import os
import platform
import time

PASSED, FAILED, SKIPPED, NO_DEVICE, TIMED_OUT = "passed", "failed", "skipped", "no device", "timed out"
BAD = (FAILED, TIMED_OUT)


class Result:
    def __init__(self, status, summary, **details):
        self.status, self.summary, self.details = status, summary, details


def write_json(path, value):
    partial = f"{path}.partial"
    with open(partial, "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def one_line(text, limit=300):
    text = " ".join(str(text).split())
    return text if len(text) <= limit else text[:limit - 3] + "..."


class Report:
    """report.json, written anew after every part, so that it is true even if nothing after it happens."""

    def __init__(self, folder, head, chosen):
        self.folder = folder
        self.value = dict(head)
        self.value.update(started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), host=platform.platform(),
                          chosen=chosen, parts=[])
        self.start = time.monotonic()
        self.write()

    def add(self, part, result, seconds, expected):
        entry = {"part": part, "status": result.status, "seconds": round(seconds, 2), "expected_seconds": expected,
                 "summary": one_line(result.summary)}
        self.value["parts"].append(entry)
        write_json(os.path.join(self.folder, f"{part}.json"), dict(entry, **result.details))
        self.write()
        return entry

    def write(self):
        self.value["seconds"] = round(time.monotonic() - self.start, 2)
        write_json(os.path.join(self.folder, "report.json"), self.value)

    def exit_code(self, require_device):
        bad = BAD + ((NO_DEVICE,) if require_device else ())
        return 1 if any(entry["status"] in bad for entry in self.value["parts"]) else 0


def row(entry):
    return (f"{entry['part']:<10} {entry['status']:<10} {entry['seconds']:>7.1f} s  ({entry['expected_seconds']:>3})  "
            f"{entry['summary']}")


def table(report):
    lines = ["", f"{'part':<10} {'status':<10} {'seconds':>9}  (exp)  summary"]
    lines += [row(entry) for entry in report["parts"]]
    return "\n".join(lines)


DOCUMENTED = ("words", "tests", "captured", "golden", "losses", "same_bits", "sanitizer")


def documentation_row(report):
    """The row of docs/gpu.md's table. Its columns: date, card, driver, libraries, commit, then the DOCUMENTED parts."""
    parts = {entry["part"]: entry["status"] for entry in report["parts"]}
    device = report.get("device") or {}
    cells = [report["started"][:10], device.get("name", "no device"), device.get("driver", "?"),
             ", ".join(report.get("libraries", [])) or "none", report.get("commit", "?")[:10]]
    cells += [parts.get(name, "not run") for name in DOCUMENTED]
    return "| " + " | ".join(cells) + " |"
