#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that tools/gpu_check.sh reports what passes, fails, crashes, hangs and finds no device as what it is, on a
small pack whose programs are stand-ins (fake_gpu_programs.py). No GPU, no build."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/gpu_check"))

import parts_peer  # noqa: E402
import rehearse  # noqa: E402
import results  # noqa: E402
import tensors  # noqa: E402

GPU_PARTS = ["versions", "words", "captured", "golden", "losses", "headlines", "tune", "tests", "same_bits", "ranks",
             "ceilings", "benches", "peer", "sanitizer"]
STEPS = 5


class Pack:
    """A folder laid out as a pack, whose programs behave as `scenario` says."""

    def __init__(self, folder, **scenario):
        self.folder = pathlib.Path(folder)
        for name in ("bin", "recording/golden", "recording/model", "peer"):
            (self.folder / name).mkdir(parents=True)
        shutil.copy2(ROOT / "tools/gpu_check.sh", self.folder)
        shutil.copytree(ROOT / "tools/gpu_check", self.folder / "gpu_check",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / "tools").mkdir()  # a machine's own
        for name in ("bin/ito-cuda", "bin/tests.cuda", "bin/fake-python3", "bin/compute-sanitizer", "tools/nvidia-smi",
                     "tools/mpirun"):
            shutil.copy2(ROOT / "tests/tools/fake_gpu_programs.py", self.folder / name)
        (self.folder / "bin/scenario.json").write_text(json.dumps(scenario))
        (self.folder / "peer/peer_torch_gpu.py").write_text("")
        recording = self.folder / "recording"
        tensors.write(recording / "golden/prediction.safetensors", {"prediction": ([2], [1.0, -2.0])})
        (recording / "recording.json").write_text(json.dumps({
            "train": ["train", "--data", "{data}", "--out", "{out}", "--steps", str(STEPS)],
            "train_short": ["train", "--data", "{data}", "--out", "{out}", "--steps", "4", "--batch", "64"],
            "short_weights": "checkpoint-000004/unet/diffusion_pytorch_model.safetensors",
            "micro_batches": [0, 16], "sample_batches": [4, 3], "losses": [1 / (step + 1) for step in range(STEPS)],
            "sample": {"ddpm": ["sample", "--out", "{out}"]},
            "large": {"name": "large", "checkpoint": "checkpoint-000001", "batches": [5, 3],
                      "train": ["train", "--data", "{pictures}", "--out", "{out}", "--steps", "1"],
                      "sample": ["sample", "--checkpoint", "{checkpoint}", "--out", "{out}"]},
            "predict": ["predict", "--input", "{golden}/input.safetensors", "--output", "{out}"]}))
        files = {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                 for path in self.folder.rglob("*") if path.is_file()}
        content = {"commit": "abc", "architectures": ["sm_80"], "files": files}
        (self.folder / "pack.json").write_text(json.dumps(content))

    def command(self, *arguments):
        return [str(self.folder / "gpu_check.sh"), *arguments]

    def environment(self):
        return dict(os.environ, ITO_PEER_PYTHON=str(self.folder / "bin/fake-python3"))

    def check(self, *arguments, **environment):
        """(exit code, {part: its JSON}, what was printed)."""
        done = subprocess.run(self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=200,
                              env=dict(self.environment(), **environment))
        return done.returncode, self.parts(), done.stdout + done.stderr

    def report(self):
        return json.loads((self.folder / "gpu_check-results/report.json").read_text())

    def parts(self):
        found = self.folder / "gpu_check-results"
        return {path.stem: json.loads(path.read_text()) for path in found.glob("*.json") if path.stem != "report"}


class GpuCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def pack(self, **scenario):
        return Pack(os.path.join(self.folder, "pack"), **scenario)

    def assert_statuses(self, parts, expected):
        self.assertEqual({name: part["status"] for name, part in parts.items()}, expected)

    def test_all_is_well(self):
        pack = self.pack()
        code, parts, text = pack.check("--skip", "sanitizer")
        self.assertEqual(code, 0, text)
        self.assert_statuses(parts, {name: "passed" for name in ["pack"] + GPU_PARTS if name != "sanitizer"})
        report = pack.report()
        self.assertEqual([entry["part"] for entry in report["parts"]], ["pack"] + GPU_PARTS[:-1])
        self.assertEqual(report["device"]["name"], "Fake 9000")
        for part in parts.values():
            self.assertEqual([key for key in ("part", "status", "seconds", "summary") if key not in part], [])
            self.assertIn(f"{part['part']:<10} passed", text)
        self.assertEqual(parts["peer"]["races"][0]["ratio"], 2.0)
        self.assertIn("compile: ", parts["peer"]["summary"])  # a variant that cannot be had is named, no failure
        benched = [[(one["what"], one["model"], one["batch"], one["precision"]) for one in parts[name]["benches"]]
                   for name in ("headlines", "benches")]
        self.assertEqual(benched[0], [("train", "ddpm-cifar10", 128, "bf16"), ("sample", "ddpm-cifar10", 64, "bf16")])
        self.assertEqual(len(benched[1]), 5)
        self.assertIn("300 MiB beside the plan", parts["headlines"]["summary"])
        self.assertEqual([one["environment"] for one in parts["benches"]["benches"] if one["environment"]],
                         [{"ITO_GRAPH_LOOPS": "0"}])
        self.assertEqual(set(benched[0]) & set(benched[1]), set())
        self.assertRegex(text, r"expected: \d+ s \(limit 575 s\): pack \d+, versions \d+, words \d+")

    def test_no_device(self):
        pack = self.pack(device=False)
        code, parts, text = pack.check()
        self.assertEqual(code, 0, text)
        self.assert_statuses(parts, dict({name: "no device" for name in GPU_PARTS}, pack="passed"))
        self.assertIn("no NVIDIA driver", parts["losses"]["summary"])
        self.assertEqual(rehearse.verdict(pack.report(), lambda text: None), 0)
        self.assertEqual(pack.check("--only", "words", "--require-device")[0], 1)

    def test_without_a_device_another_refusal_is_a_failure(self):
        pack = self.pack(device=False, ito={"train": "refuse"})
        code, parts, _ = pack.check("--only", "golden,losses")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"golden": "no device", "losses": "failed"})
        self.assertIn("no such file", parts["losses"]["summary"])
        self.assertEqual(rehearse.verdict(pack.report(), lambda text: None), 1)

    def test_failing_tests_are_named_and_run_again(self):
        pack = self.pack(suites={"Words": {"A": "well"}, "Conv/0": {"Good": "well", "Bad": "fail unless portable"},
                                 "Gemm": {"Worse": "fail", "Left": "skip"}})
        code, parts, _ = pack.check("--only", "words", "tests")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"words": "passed", "tests": "failed"})
        self.assertIn("2 of 4 tests failed, 1 skipped: Conv/0.Bad, Gemm.Worse", parts["tests"]["summary"])
        self.assertIn("on the portable kernels 1 of 2 pass", parts["tests"]["summary"])
        bad = {item["test"]: item for item in parts["tests"]["bad"]}
        self.assertIn("Expected equality in Conv/0.Bad", bad["Conv/0.Bad"]["message"])
        self.assertEqual([bad["Conv/0.Bad"]["again"][way]["status"] for way in ("alone", "portable")],
                         ["failed", "passed"])

    def check_ranks(self, module=True, **scenario):
        with tempfile.TemporaryDirectory() as folder:
            pack = Pack(os.path.join(folder, "pack"), **scenario)
            if module:
                (pack.folder / "bin/ito-mpi.so").write_text("")
            code, parts, text = pack.check("--only", "ranks", PATH=f"{pack.folder / 'tools'}:{os.environ['PATH']}")
            return code, parts["ranks"], text

    def test_ranks_on_several_cards(self):
        code, part, text = self.check_ranks(cards=4)
        self.assertEqual((code, part["status"]), (0, "passed"), text)
        self.assertIn("1/2/3/4 ranks and eager: the same bytes", part["summary"])
        starts = [run["command"] for run in part["runs"]]
        self.assertEqual([start[start.index("-n") + 1] if "-n" in start else "1" for start in starts],
                         ["1", "2", "3", "4", "4"] * 2)
        code, part, _ = self.check_ranks(cards=8, rank_error={"8": 0.5})
        self.assertEqual((code, part["status"]), (1, "failed"))
        self.assertEqual([one["run"] for one in part["differences"]],
                         [f"ranks-{precision}-8{eager}" for precision in ("fp32", "bf16") for eager in ("", "-eager")])

    def test_what_ranks_lack_is_named(self):
        for scenario, status, reason in (
                ({"cards": 1}, "passed", "no run of several: a rank needs a GPU of its own, and nvidia-smi tells of one"),
                ({"cards": 2, "module": False}, "passed", "no ito-mpi.so beside ito-cuda"),
                ({"cards": 2, "mpi": "none"}, "passed", "libmpi.so.40: cannot open shared object file"),
                ({"cards": 2, "suites": {"NcclAlone": {"MovesBytes": "skip"}}}, "skipped", "NCCL was not found")):
            code, part, text = self.check_ranks(**scenario)
            self.assertEqual((code, part["status"]), (0, status), text)
            self.assertIn(reason, part["summary"])
        code, part, _ = self.check_ranks(suites={"NcclAlone": {"MovesBytes": "fail"}})
        self.assertEqual((code, part["status"]), (1, "failed"))

    def test_a_librarys_kernel_may_be_refused(self):
        code, parts, _ = self.pack().check("--only", "tune")
        self.assertEqual(code, 0)
        self.assertIn("2 kernels tried, 1 refused; with the table train ddpm-cifar10 128 bf16", parts["tune"]["summary"])

    def test_a_kernel_of_ours_that_is_refused_is_a_failure(self):
        code, parts, _ = self.pack(refused="it gave other values").check("--only", "tune")
        self.assertEqual(code, 1)
        self.assertIn("sm80 for the forward 4x4x8 to 8: it gave other values", parts["tune"]["summary"])

    def test_a_crash_costs_one_test(self):
        pack = self.pack(suites={"Conv/0": {"First": "well", "Crashes": "crash", "After": "well"},
                                 "Gemm": {"A": "well"}})
        code, parts, _ = pack.check("--only", "tests")
        self.assertEqual(code, 1)
        self.assertIn("1 of 4 tests failed: Conv/0.Crashes", parts["tests"]["summary"])
        self.assertIn("SIGSEGV", parts["tests"]["bad"][0]["message"])

    def test_a_crash_after_the_last_test_is_a_failure(self):
        code, parts, _ = self.pack(crash_at_exit=True).check("--only", "words")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"words": "failed"})
        self.assertIn("SIGSEGV", parts["words"]["bad"][0]["message"])

    def test_a_hang_costs_one_part(self):
        pack = self.pack(suites={"Words": {"Hangs": "hang"}, "Gemm": {"A": "well"}}, ito={"bench": "hang"})
        start = time.monotonic()
        code, parts, _ = pack.check("--only", "words", "tests", "losses", "ceilings", "--part-limit", "words=2",
                                    "ceilings=2")
        self.assertLess(time.monotonic() - start, 60)
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"words": "timed out", "tests": "passed", "losses": "passed",
                                     "ceilings": "timed out"})

    def test_no_time_left(self):
        pack = self.pack(suites={"Words": {"Hangs": "hang"}})
        code, parts, _ = pack.check("--only", "words", "ceilings", "--time-limit", "3")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"words": "timed out", "ceilings": "timed out"})
        self.assertIn("not started", parts["ceilings"]["summary"])

    def test_losses_and_predictions_that_are_off(self):
        pack = self.pack(loss_error={"fp32": 0.002, "bf16": 0.002}, prediction_error=0.01)
        code, parts, _ = pack.check("--only", "losses", "golden")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"losses": "failed", "golden": "failed"})
        for part in ("losses", "golden"):
            self.assertEqual([run["status"] for run in parts[part]["runs"]], ["failed", "passed"])  # fp32, bf16
        self.assertAlmostEqual(parts["losses"]["runs"][0]["largest"], 0.002)
        self.assertEqual([run["status"] for run in parts["losses"]["portable"]], ["passed"])
        self.assertAlmostEqual(parts["golden"]["runs"][0]["largest"], 0.005, places=6)  # of the largest value, 2

    def test_tf32_or_bf16_in_place_of_fp32_is_seen(self):
        for loss, prediction in ((9.7e-4, 4.5e-3), (1.2e-4, 6e-4)):  # a run in bf16, one in TF32; of the largest value
            with tempfile.TemporaryDirectory() as folder:
                pack = Pack(os.path.join(folder, "pack"), loss_error={"fp32": loss}, prediction_error=2 * prediction)
                _, parts, _ = pack.check("--only", "losses", "golden")
                for part in ("losses", "golden"):
                    self.assertEqual(parts[part]["runs"][0]["status"], "failed", (part, loss))

    def test_another_order_of_sums_passes(self):
        pack = self.pack(loss_error={"fp32": 1e-7}, prediction_error=2e-6)
        self.assertEqual(pack.check("--only", "losses", "golden")[0], 0)

    def test_a_bf16_run_that_is_off(self):
        pack = self.pack(loss_error={"bf16": 0.004}, prediction_error=0.04)
        _, parts, _ = pack.check("--only", "losses", "golden")
        self.assertEqual([run["status"] for run in parts["losses"]["runs"]], ["passed", "failed"])
        self.assertEqual([run["status"] for run in parts["golden"]["runs"]], ["failed", "failed"])

    def test_bits_that_differ(self):
        pack = self.pack(sample_error=0.5, micro_error=0.25, eager_error=2)
        code, parts, _ = pack.check("--only", "same_bits")
        self.assertEqual(code, 1)
        found = {item["other"]: item["difference"] for item in parts["same_bits"]["differences"]}
        self.assertEqual(found["bits-ddpm-fp32-3"], "samples: 1 of 4 rows differ, the first is 2, by at most 0.5")
        self.assertEqual(found["bits-train-fp32-16"], "w: 1 of 2 rows differ, the first is 1, by at most 0.25")
        self.assertEqual(found["bits-ddpm-fp32-eager"], "samples: 1 of 4 rows differ, the first is 2, by at most 2")
        self.assertEqual(found["bits-train-fp32-eager"], "w: 1 of 2 rows differ, the first is 1, by at most 2")
        self.assertEqual(found["bits-large-3"], "samples: 1 of 4 rows differ, the first is 2, by at most 0.5")
        self.assertEqual(len(found), 9)  # and in bf16

    def test_a_program_that_fails(self):
        code, parts, _ = self.pack(ito={"bench": "fail", "sample": "crash"}).check("--only", "benches", "same_bits",
                                                                                  "versions")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"versions": "failed", "same_bits": "failed", "benches": "failed"})
        self.assertIn("an illegal memory access", parts["benches"]["summary"])
        self.assertIn("SIGSEGV", parts["same_bits"]["summary"])

    def test_a_part_that_breaks_is_a_failed_part(self):
        pack = self.pack()
        (pack.folder / "recording/recording.json").unlink()
        code, parts, _ = pack.check("--only", "pack", "losses", "ceilings")
        self.assertEqual(code, 1)
        self.assert_statuses(parts, {"pack": "failed", "losses": "failed", "ceilings": "passed"})
        self.assertIn("FileNotFoundError", parts["losses"]["summary"])

    def test_a_damaged_pack(self):
        pack = self.pack()
        (pack.folder / "peer/peer_torch_gpu.py").write_text("other")
        code, parts, _ = pack.check("--only", "pack")
        self.assertEqual(code, 1)
        self.assertIn("peer/peer_torch_gpu.py: differs", parts["pack"]["summary"])

    def test_a_race_without_torch_and_one_that_ours_loses_by_crashing(self):
        code, parts, _ = self.pack(torch=False).check("--only", "peer")
        self.assertEqual(code, 0)
        self.assert_statuses(parts, {"peer": "skipped"})
        shutil.rmtree(os.path.join(self.folder, "pack"))
        code, parts, _ = self.pack(serve={"ito": "crash"}).check("--only", "peer")
        self.assertEqual(code, 1)
        self.assertIn("ito-cuda: train 128: ended by SIGSEGV", parts["peer"]["summary"])

    def test_what_a_compiled_variant_needs(self):
        tools = pathlib.Path(self.folder, "tools")
        tools.mkdir()
        for name in ("bash", "env", "python3", "dirname"):
            (tools / name).symlink_to(shutil.which(name))
        pack = self.pack()
        code, parts, _ = pack.check("--only", "peer", PATH=str(tools), CC="")
        self.assertEqual(code, 0)
        for variant in ("compile", "autotune"):
            self.assertIn(f"{variant}: no C compiler in PATH", parts["peer"]["summary"])
        self.assertEqual([one["variant"] for one in parts["peer"]["races"]], ["eager"] * 3 + ["graph"] * 3)

    @unittest.skipUnless(parts_peer.c_compiler(), "no C compiler")
    def test_the_longest_variant_needs_time_and_what_is_compiled_stays(self):
        pack = self.pack()
        _, parts, _ = pack.check("--only", "peer", "--part-limit", "peer=90")
        self.assertIn("autotune: not begun: it needs 100 s", parts["peer"]["summary"])
        caches = parts["peer"]["races"][0]["peer"]["caches"]
        self.assertEqual(caches, [str(pack.folder / "gpu_check-results/peer-cache" / name)
                                  for name in ("inductor", "triton")])
        pathlib.Path(caches[0]).mkdir(parents=True)
        _, parts, _ = pack.check("--only", "peer")
        self.assertTrue(os.path.isdir(caches[0]))
        self.assertIn("autotune", [one["variant"] for one in parts["peer"]["races"]])

    def test_the_sanitizer_sees_our_kernels_alone(self):
        pack = self.pack()
        code, parts, _ = pack.check("--only", "sanitizer", PATH=f"{pack.folder / 'bin'}:{os.environ['PATH']}")
        self.assertEqual(code, 0)
        for run, tool in zip(parts["sanitizer"]["runs"], ("memcheck", "racecheck")):
            self.assertIn(f"--tool {tool} ", run["out"])
            self.assertIn("--report-api-errors no ", run["out"])
            self.assertTrue(run["out"].strip().endswith(" portable"), run["out"])

    def test_a_second_run_removes_the_first_ones_results_alone(self):
        pack = self.pack()
        out = pack.folder / "gpu_check-results"
        out.mkdir()
        (out / "logs").mkdir()
        for name in ("mine.txt", "logs/mine.txt"):
            (out / name).write_text("")
        pack.check("--only", "pack", "ceilings")
        self.assertTrue((out / "logs/mine.txt").exists())  # there was no run before
        pack.check("--only", "pack")
        self.assertEqual(set(pack.parts()), {"pack"})
        self.assertTrue((out / "mine.txt").exists())

    def test_interrupted(self):
        pack = self.pack(suites={"Words": {"Hangs": "hang"}})
        child = subprocess.Popen(pack.command("--only", "pack", "words", "ceilings"), cwd=pack.folder,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=pack.environment())
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (pack.folder / "gpu_check-results/logs/Words.out").exists():
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(30), 1)
        self.assert_statuses(pack.parts(), {"pack": "passed", "words": "failed", "ceilings": "skipped"})

    def test_arguments(self):
        pack = self.pack()
        for arguments in (["--only", "wrds"], ["--part-limit", "words=soon"], ["--only", "words", "--skip", "words"],
                          ["--pack"], ["--rehearse"]):
            code, _, text = pack.check(*arguments)
            self.assertEqual(code, 2, text)


if __name__ == "__main__":
    unittest.main()
