#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/kernel_figures.md is what tools/static_bars figures makes of the committed files; planted misfits fail."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "tools/static_bars/kernel_figures.json"


class KernelFigures(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        for name in ("static_bars.csv", "kernel_counts.json", "kernel_figures.md"):
            shutil.copy(ROOT / "docs" / name, self.folder)
        self.config = json.loads(CONFIG.read_text())

    def tearDown(self):
        self.temporary.cleanup()

    def figures(self, status, *arguments):
        config = self.folder / "config.json"
        config.write_text(json.dumps(self.config))
        command = [sys.executable, ROOT / "tools/static_bars", "figures", "--folder", self.folder, "--config", config]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertLessEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def plant(self, name, change):
        file = self.folder / name
        text = file.read_text()
        self.assertTrue(change(text) != text, f"nothing was planted in {name}")
        file.write_text(change(text))

    def test_the_committed_page_is_of_the_committed_table_and_counts(self):
        self.figures(0, "--check")

    def test_another_table_or_count_is_another_page(self):
        self.plant("static_bars.csv", lambda text: re.sub(r",sm_80,\d+,", ",sm_80,254,", text, count=1))
        self.assertIn("renew it with python3 tools/static_bars figures", self.figures(1, "--check"))
        self.figures(0)
        self.figures(0, "--check")
        self.plant("kernel_counts.json", lambda text: re.sub(r'"bytes": \d+', '"bytes": 1000000', text, count=1))
        self.figures(1, "--check")

    def test_a_kernel_without_a_place_is_named(self):
        self.plant("static_bars.csv", lambda text: text + "planted,planted_kernel,sm_80" + ",0" * 9 + ",,0,0,0,0,,\n")
        self.assertIn("planted/planted_kernel: no case launches it", self.figures(2))
        self.config["elsewhere"].append({"kernels": ["planted/*"], "reason": "planted"})
        self.figures(0)
        self.assertIn("| `planted_kernel` | planted.cu | 0 |", (self.folder / "kernel_figures.md").read_text())
        self.config["elsewhere"][-1]["reason"] = ""
        self.assertIn("there is no reason", self.figures(2))

    def test_a_pattern_that_outlived_its_kernel_is_named(self):
        self.config["elsewhere"].append({"kernels": ["gone/*"], "reason": "planted"})
        self.assertIn("gone/*: no kernel has this name", self.figures(2))
        self.config["elsewhere"].pop()
        self.config["launched"][0]["kernels"].append("gone/gone_kernel")
        self.assertIn("gone/gone_kernel: no case launches a kernel of this name", self.figures(2))

    def test_a_case_without_kernels_is_named(self):
        self.config["launched"] = [entry for entry in self.config["launched"] if entry["op"] != "silu"]
        self.assertIn("silu forward of 1024x128, fp32: launches no kernel", self.figures(2))


if __name__ == "__main__":
    unittest.main()
