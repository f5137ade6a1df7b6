#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of what tools/gpu_check is made of, a piece at a time: processes, packing, libraries, the documentation's rows.
No GPU, no build; two tests need a C compiler."""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/gpu_check"))

import libraries  # noqa: E402
import packing  # noqa: E402
import process  # noqa: E402
import rehearse  # noqa: E402
import results  # noqa: E402
from test_gpu_check import GPU_PARTS  # noqa: E402


class Pieces(unittest.TestCase):
    def test_a_time_out_ends_the_children_of_the_child(self):
        with tempfile.TemporaryDirectory() as folder:
            outcome = process.run(["sh", "-c", "sleep 300 & echo $!; wait"], 1, os.path.join(folder, "log"))
            self.assertTrue(outcome.timed_out)
            grandchild = int(outcome.out)
            for _ in range(100):  # until the system has taken it away
                try:
                    with open(f"/proc/{grandchild}/stat") as file:
                        if file.read().rpartition(")")[2].split()[0] == "Z":
                            break
                except OSError:
                    break
                time.sleep(0.05)
            else:
                self.fail("the grandchild goes on")

    def test_a_gpu_part_that_passes_without_a_device_is_no_rehearsal(self):
        report = {"device": {"none": "no driver"}, "parts": [{"part": "words", "status": "passed", "summary": ""}]}
        said = []
        self.assertEqual(rehearse.verdict(report, said.append), 1)
        self.assertIn("words says passed", said[0])
        self.assertEqual(rehearse.verdict({"device": {"none": ""}, "parts": []}, said.append), 1)

    def test_the_row_of_the_documentation(self):
        with open(ROOT / "docs/gpu.md") as file:
            header = [line for line in file if line.startswith("| date |")]
        self.assertEqual(len(header), 1)
        report = {"started": "2026-01-02 03:04:05 UTC", "device": {"name": "Card", "driver": "580.1"}, "commit": "abc",
                  "libraries": ["cuDNN 9"], "parts": [{"part": "words", "status": "passed"}]}
        row = results.documentation_row(report)
        self.assertEqual(row.count("|"), header[0].count("|"))
        self.assertTrue(row.startswith("| 2026-01-02 | Card | 580.1 | cuDNN 9 | abc | passed | not run |"), row)

    def test_the_documentation_has_the_parts_with_their_seconds(self):
        spec = importlib.util.spec_from_file_location("gpu_check_main", ROOT / "tools/gpu_check/__main__.py")
        main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(main)
        with open(ROOT / "docs/gpu.md") as file:
            text = file.read()
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE)
        self.assertEqual(rows, [(name, str(main.EXPECTED[name])) for name in main.NAMES])
        self.assertEqual(main.NAMES, ["pack"] + GPU_PARTS)
        self.assertLessEqual(sum(main.EXPECTED.values()), main.TIME_LIMIT)
        for name, _, limit, expected in main.PARTS:
            self.assertLess(expected, limit, name)
        calls = re.findall(r"^tools/gpu_check.sh --only ([\w ]+?) +#.*call", text, re.MULTILINE)
        self.assertEqual(len(calls), 3)
        self.assertEqual(" ".join(calls).split(), [name for name in main.NAMES if name != "sanitizer"])

    def test_both_sides_of_the_race_time_as_many_steps(self):
        text = [(ROOT / name).read_text() for name in ("tools/commands/bench/models.h", "tools/bench/peer_torch_gpu.py")]
        ours = int(re.search(r"kReverseSteps = (\d+);", text[0]).group(1))
        theirs = json.loads(re.search(r"^IN_A_ROW = (.*)$", text[1], re.MULTILINE).group(1).replace("'", '"'))
        self.assertEqual(theirs, {"train": 1, "sample": ours})

    def test_a_result_is_whole_or_absent(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "part.json")
            results.write_json(path, {"status": "passed"})
            with self.assertRaises(TypeError):
                results.write_json(path, {"status": "failed", "bad": object()})
            with open(path) as file:
                self.assertEqual(json.load(file), {"status": "passed"})

    @unittest.skipUnless(shutil.which("cc") and shutil.which("readelf"), "no C compiler")
    def test_a_program_of_a_pack_needs_libc_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            source, program = os.path.join(folder, "a.cpp"), os.path.join(folder, "a")
            with open(source, "w") as file:
                file.write("#include <iostream>\nint main() { std::cout << 1; }\n")
            subprocess.run(["g++", source, "-o", program], check=True)
            with self.assertRaisesRegex(packing.PackError, "libstdc"):
                packing.copy_program(program, os.path.join(folder, "b"))
            subprocess.run(["g++", "-static-libstdc++", "-static-libgcc", source, "-o", program], check=True)
            packing.copy_program(program, os.path.join(folder, "b"))
            module, mpi = os.path.join(folder, "module.so"), os.path.join(folder, "libmpi.so.40")
            make = ["cc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-x", "none", "-Wl,--no-as-needed"]
            subprocess.run(make + ["-Wl,-soname,libmpi.so.40", "-o", mpi], check=True)
            subprocess.run(make + [mpi, "-o", module], check=True)
            packing.copy_program(module, os.path.join(folder, "c"), packing.SYSTEM | packing.MPI)
            with self.assertRaisesRegex(packing.PackError, "libmpi"):
                packing.copy_program(module, os.path.join(folder, "c"))

    # Under a name that this machine's loader does not know.
    @unittest.mock.patch.object(libraries, "WANTED", [("cuBLASLt", "libitofake.so.9", "cudnnGetVersion", "size_t")])
    @unittest.skipUnless(shutil.which("cc"), "no C compiler")
    def test_libraries_are_taken_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            def make(place, version):
                os.makedirs(os.path.join(folder, place))
                path = os.path.join(folder, place, "libitofake.so.9")
                subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", path], check=True, text=True,
                               input=f"unsigned long cudnnGetVersion(void) {{ return {version}; }}")
                return os.path.dirname(path)

            loader = make("loader", 90100)
            toolkit = make("toolkit/lib64", 90200)
            old = make("site/nvidia/cudnn/lib", 90300)
            new = make("site/nvidia/cu13/lib", 90400)
            python = os.path.join(folder, "python3")
            with open(python, "w") as file:
                file.write(f"#!/bin/sh\necho '[\"{folder}/site\"]'\n")
            os.chmod(python, 0o755)
            names = {"ITO_CUDA_HOME": os.path.dirname(toolkit), "LD_LIBRARY_PATH": loader, "ITO_CUDA_LIBRARIES": "",
                     "PATH": "/usr/bin:/bin"}
            before = {name: os.environ.get(name) for name in names}
            try:
                os.environ.update(names)
                found = libraries.Libraries(folder, [python])
                self.assertEqual(found.found["cuBLASLt"]["version"], "9.1.0")
                self.assertEqual(found.found["cuBLASLt"]["path"], os.path.join(loader, "libitofake.so.9"))
                self.assertEqual(found.environment["ITO_CUDA_LIBRARIES"], f"{new}:{old}")
                os.environ["LD_LIBRARY_PATH"] = ""
                self.assertEqual(libraries.Libraries(folder, [python]).found["cuBLASLt"]["version"], "9.2.0")
                packages = libraries.package_folders([python])
                entry = libraries.Libraries.probe(*libraries.WANTED[0], packages, folder)
                self.assertEqual(entry["version"], "9.4.0")
            finally:
                for name, value in before.items():
                    os.environ.pop(name) if value is None else os.environ.update({name: value})

    # A build of cuDNN for another CUDA has the same file name, and the programs would find it first.
    @unittest.mock.patch.object(libraries, "WANTED", [("cuDNN", "libitofake.so.9", "cudnnGetVersion", "size_t")])
    @unittest.mock.patch.object(libraries, "OTHER_MAJOR", "libitofake.so.8")
    @unittest.skipUnless(shutil.which("cc"), "no C compiler")
    def test_a_library_for_another_cuda_is_passed_over(self):
        with tempfile.TemporaryDirectory() as folder:
            for place, cuda in (("old", 12090), ("new", 13000)):
                os.makedirs(os.path.join(folder, place, "lib"))
                subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o",
                                os.path.join(folder, place, "lib/libitofake.so.9")], check=True, text=True,
                               input="unsigned long cudnnGetVersion(void) { return 91900; }"
                                     f"unsigned long cudnnGetCudartVersion(void) {{ return {cuda}; }}")
            old, new = os.path.join(folder, "old/lib"), os.path.join(folder, "new/lib")
            with unittest.mock.patch.dict(os.environ, {"LD_LIBRARY_PATH": old, "ITO_CUDA_LIBRARIES": "",
                                                       "ITO_CUDA_HOME": os.path.dirname(new)}):
                entry = libraries.Libraries.probe(*libraries.WANTED[0], [new], folder)
            self.assertEqual(entry["path"], os.path.join(new, "libitofake.so.9"))
            self.assertEqual(entry["in_place_of"], [os.path.join(old, "libitofake.so.9")])
            self.assertIn("is a build for CUDA 12, these programs are for 13", entry["errors"][0])
            with unittest.mock.patch.dict(os.environ, {"LD_LIBRARY_PATH": old}):
                self.assertNotIn("path", libraries.Libraries.probe(*libraries.WANTED[0], [], folder))

    def test_the_row_is_printed(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            path = os.path.join(folder, "report.json")
            results.write_json(path, {"started": "2026-01-02 ", "parts": []})
            done = subprocess.run([str(ROOT / "tools/gpu_check.sh"), "--row", path], capture_output=True, text=True)
            self.assertTrue(done.stdout.startswith("| 2026-01-02 | no device |"), done.stdout)

if __name__ == "__main__":
    unittest.main()
