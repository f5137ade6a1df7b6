#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that tools/static_bars sees what it should, and that what it reads from machine code is right.

  test_static_bars.py WORK bars                    planted faults are named; registers, stack and shared memory are
                                                   those of ptxas -v; resident blocks those of cuda_occupancy.h
  test_static_bars.py WORK disassembly [FILE...]   instruction counts are those of nvdisasm, also in FILE...

Compiles tests/only/cuda/planted_spill.cu into WORK. Exit status 77: no nvcc, or for `disassembly` no nvdisasm.
"""
import collections
import csv
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "tools/static_bars"
PLANTED = ROOT / "tests/only/cuda/planted_spill.cu"
ARCHITECTURES = (80, 90, 100, 120)
SKIPPED = 77
CONFIG = {
    "architectures": ["sm_80", "sm_90"],
    "register_slack": 4,
    "expressions": {},
    "launches": {"*": {"block": 256, "dynamic_shared": 0}},
    "local_memory": {
        "spilling_kernel": {"bytes": 4096, "reason": "planted"},
        "local_array_kernel": {"bytes": 4096, "reason": "planted"},
    },
}

sys.path.insert(0, str(ROOT / "tools"))

from static_bars import cubin, names, occupancy, sass  # noqa: E402

WORK = pathlib.Path()
FILES = []


def find_nvcc():
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def compile_planted(target, *options):
    """Compiles the planted kernels; returns what the compiler printed."""
    command = [find_nvcc(), "-std=c++20", *options, str(PLANTED), "-o", str(target)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def for_ci():
    return [option for arch in (80, 90) for option in ("-gencode", f"arch=compute_{arch},code=sm_{arch}")]


class Bars(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.object = WORK / "planted_spill.cu.o"
        compile_planted(cls.object, *for_ci(), "-c")
        cls.archive = WORK / "libplanted.a"
        cls.archive.unlink(missing_ok=True)
        subprocess.run(["ar", "qc", cls.archive, cls.object], check=True)
        cls.table, cls.config = WORK / "table.csv", WORK / "config.json"

    def setUp(self):
        self.write_config(CONFIG)
        self.check(0, "--write")

    def write_config(self, config):
        self.config.write_text(json.dumps(config))

    def check(self, status, *options, file=None):
        done = subprocess.run([sys.executable, TOOL, "check", file or self.archive, "--table", self.table, "--config",
                               self.config, *options], capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def rewrite(self, change, kernel="copy_kernel<int4>", arch="sm_90"):
        """Passes the kernel's row to `change`, which alters it or returns False to drop it."""
        head = [line for line in self.table.read_text().splitlines() if line.startswith("#")]
        rows = list(csv.DictReader(line for line in self.table.read_text().splitlines() if not line.startswith("#")))
        hits = [row for row in rows if row["kernel"] == kernel and row["arch"] == arch]
        self.assertEqual(len(hits), 1)
        if change(hits[0]) is False:
            rows.remove(hits[0])
        with open(self.table, "w", newline="") as out:
            out.write("\n".join(head) + "\n")
            table = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)

    def expect_worse(self, change, *texts, kernel="copy_kernel<int4>"):
        self.rewrite(change, kernel)
        lines = [line for line in self.check(1).splitlines() if kernel in line and "note:" not in line
                 and "if meant" in line]
        self.assertEqual(len(lines), 1, lines)
        for text in (*texts, "planted_spill.cu, sm_90", "tools/static_bars check", "--write"):
            self.assertIn(text, lines[0])

    def test_what_was_written_holds(self):
        output = self.check(0)
        self.assertNotIn("if meant", output)
        self.assertNotIn("note:", output)
        self.check(0, file=self.object)

    def test_table_distinguishes_instantiations(self):
        text = self.table.read_text()
        for kernel in ("copy_kernel<int>", "copy_kernel<int4>", "copy_kernel<char>", "scale_element<true>",
                       "scale_element<false>"):
            self.assertEqual(text.count(f"planted_spill,{kernel},"), 2, text)
        self.assertNotIn("GLOBAL__N", text)

    def test_spills_and_local_arrays_are_named(self):
        self.write_config(CONFIG | {"local_memory": {}})
        output = self.check(1)
        for kernel, arch in itertools.product(("spilling_kernel", "local_array_kernel"), ("sm_80", "sm_90")):
            self.assertRegex(output, rf"{kernel} \(planted_spill.cu, {arch}\): [1-9]\d* bytes of stack, [1-9]\d* local "
                                     r"stores and [1-9]\d* local loads")
        self.assertEqual(output.count("bytes of stack"), 4)
        self.check(1, "--write")  # a table does not excuse a spill

    def test_an_exception_holds_up_to_its_bytes_and_needs_a_reason(self):
        for exception in ({"bytes": 8, "reason": "planted"}, {"bytes": 4096, "reason": ""}):
            self.write_config(CONFIG | {"local_memory": CONFIG["local_memory"] | {"spilling_kernel": exception}})
            output = self.check(1)
            self.assertIn("spilling_kernel (planted_spill.cu, sm_90)", output)
            self.assertNotIn("local_array_kernel (", output)

    def test_a_kernel_missing_in_the_table_is_named(self):
        self.expect_worse(lambda row: False, "is not in the table")

    def test_a_vanished_kernel_is_named(self):
        def rename(row):
            row["kernel"] = "gone_kernel"
        self.rewrite(rename)
        output = self.check(1)
        self.assertIn("gone_kernel (planted_spill.cu, sm_90): is in the table but not in the files", output)

    def test_registers_have_a_slack(self):
        now = int(next(row for row in self.table.read_text().splitlines()
                       if row.startswith("planted_spill,copy_kernel<int4>,sm_90")).split(",")[3])
        def within(row):
            row["registers"] = now - 4
        self.rewrite(within)
        self.check(0)
        def beyond(row):
            row["registers"] = now - 5
        self.expect_worse(beyond, f"{now - 5} registers became {now} (slack 4)")

    def test_fewer_resident_blocks(self):
        def more(row):
            row["resident"] = "sm_90:9"
        self.expect_worse(more, "9 resident blocks of 256 threads on sm_90 became 8 of 256")

    def test_fewer_tensor_core_instructions_and_copies(self):
        for column, text in (("mma", "2 mma instructions became 1"), ("cp_async", "2 asynchronous copies became 1")):
            self.setUp()
            def more(row, column=column):
                self.assertEqual(row[column], "1")
                row[column] = 2
            self.expect_worse(more, text, kernel="tensor_kernel")
        self.setUp()
        def wgmma(row):
            row["wgmma"] = 1
        self.expect_worse(wgmma, "1 wgmma instructions became 0")
        self.setUp()
        def ldmatrix(row):
            row["ldmatrix"] = 1
        self.expect_worse(ldmatrix, "1 ldmatrix became 0")

    def test_narrower_loads_and_stores(self):
        for column in ("loads", "stores"):
            for was, name in (("128x1", "copy_kernel<int>"), ("128x2", "copy_kernel<int>")):
                self.setUp()
                def wider(row, column=column, was=was):
                    self.assertEqual(row[column], "32x1")
                    row[column] = was
                self.expect_worse(wider, f"global {column} are narrower: 128 bits x", kernel=name)

    def test_an_improvement_is_a_note(self):
        def worse(row):
            row |= {"registers": 60, "resident": "sm_90:4", "loads": "32x4"}
        self.rewrite(worse)
        output = self.check(0)
        self.assertRegex(output, r"note: copy_kernel<int4> .*60 registers became")
        self.assertRegex(output, r"note: copy_kernel<int4> .*4 resident blocks")
        self.assertRegex(output, r"note: copy_kernel<int4> .*loads are wider")

    def test_an_architecture_that_is_not_built(self):
        self.write_config(CONFIG | {"architectures": ["sm_80", "sm_90", "sm_100"]})
        self.assertIn("all kernels (*.cu, sm_100): no code for this architecture", self.check(1))

    def test_an_unknown_block_is_named(self):
        self.write_config(CONFIG | {"launches": {}})
        self.assertRegex(self.check(1), r"tensor_kernel \(planted_spill.cu, sm_80\): the launcher's block size .* "
                                        r"could not be read; state it under launches")

    def test_a_pattern_that_outlived_its_kernel_is_named(self):
        for section, value in (("launches", {"block": 32}), ("local_memory", {"bytes": 8, "reason": "planted"})):
            self.write_config(CONFIG | {section: CONFIG[section] | {"gone_kernel<*": value}})
            self.assertIn(f"gone_kernel<* (*.cu, all): no kernel has this name, which {section} gives", self.check(1))
            self.check(0, file=self.object)  # one object need not hold all kernels

    def test_another_compiler_is_a_visible_skip_and_spills_still_fail(self):
        self.table.write_text(re.sub(r"# nvcc \S+", "# nvcc 1.2.3", self.table.read_text()))
        self.assertIn("SKIPPED: the table is of nvcc 1.2.3", self.check(SKIPPED))
        self.write_config(CONFIG | {"local_memory": {}})
        self.check(1)

    def test_compressed_device_code_is_the_same_table(self):
        compressed = WORK / "compressed.cu.o"
        compile_planted(compressed, *for_ci(), "-c", "--compress-mode=size")
        self.assertLess(compressed.stat().st_size, self.object.stat().st_size)
        kernels = [sorted((kernel.symbol, kernel.arch, kernel.registers, kernel.code)
                          for kernel in cubin.kernels_of(file)) for file in (self.object, compressed)]
        self.assertTrue(kernels[0])
        self.assertEqual(*kernels)

    def test_unusable_input_is_one_line(self):
        compressed = WORK / "damaged.cu.o"
        compile_planted(compressed, *for_ci(), "-c", "--compress-mode=size")
        data = compressed.read_bytes()
        frame = data.index(b"\x28\xb5\x2f\xfd")  # where a Zstandard frame begins
        compressed.write_bytes(data[:frame + 40] + bytes(64) + data[frame + 104:])
        damaged = WORK / "damaged.o"
        damaged.write_bytes(b"no object")
        for file, text in ((compressed, "its compressed device code is damaged"), (damaged, "no kernel inside"),
                           (WORK / "absent.o", "No such file")):
            output = self.check(2, file=file)
            self.assertIn(text, output)
            self.assertEqual(output.count("\n"), 1, output)
        self.table.unlink()
        self.assertIn("no table there; make it with", self.check(2))


class AgainstTheToolkit(unittest.TestCase):
    def test_resources_are_those_that_ptxas_prints(self):
        for arch in ARCHITECTURES:
            file = WORK / f"planted_spill.{arch}.cubin"
            log = compile_planted(file, f"-arch=sm_{arch}", "-cubin", "-Xptxas", "-v")
            printed = {}
            for part in log.split("Compiling entry function '")[1:]:
                spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
                shared = re.search(r"(\d+) bytes smem", part)
                printed[part.split("'")[0]] = (
                    int(re.search(r"Used (\d+) registers", part)[1]),
                    int(re.search(r"(\d+) bytes stack frame", part)[1]),
                    int(shared[1]) if shared else 0, spilled.groups() != ("0", "0"))
            read = list(cubin.kernels_of(file))
            self.assertEqual(len(read), 10)
            self.assertEqual({k.arch for k in read}, {f"sm_{arch}"})
            self.assertEqual({k.symbol: (k.registers, k.stack, k.shared) for k in read},
                             {symbol: values[:3] for symbol, values in printed.items()})
            keys = names.keys_of(read)
            spilled = {keys[k.file, k.symbol] for k in read if printed[k.symbol][3]}
            self.assertEqual(spilled, {"spilling_kernel"}, f"sm_{arch}: the planted kernel must spill")
            bounds = {keys[k.file, k.symbol]: k.max_threads for k in read}
            self.assertEqual(bounds["spilling_kernel"], 1024)
            self.assertEqual(bounds["tensor_kernel"], 0)

    def test_resident_blocks_are_those_of_cuda_occupancy(self):
        include = pathlib.Path(find_nvcc()).resolve().parent.parent / "include"
        source = ROOT / "tests/only/cuda/occupancy_oracle.cpp"
        program = WORK / "occupancy_oracle"
        subprocess.run(["g++", "-std=c++20", f"-I{include}", source, "-o", program], check=True)
        cases = [(device, registers, threads, shared) for device in occupancy.LIMITS
                 for registers in (1, 16, 24, 32, 33, 40, 64, 65, 96, 128, 129, 168, 255)
                 for threads in (32, 64, 96, 128, 160, 256, 288, 384, 512, 768, 1024)
                 for shared in (0, 1, 127, 1024, 8192, 33000, 49152, 50432, 74000, 101376, 101377, 166912, 232448)]
        lines = [f"{d[3:]} {limits.threads} {limits.shared} {r} {t} {s}" for d, r, t, s in cases
                 for limits in (occupancy.LIMITS[d],)]
        told = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
        told = [int(word) for word in told.split()]
        self.assertEqual(len(told), len(cases))
        for case, blocks in zip(cases, told, strict=True):
            self.assertEqual(occupancy.resident_blocks(*case), blocks, case)


class Disassembly(unittest.TestCase):
    def listing_counts(self, elf):
        """{symbol: counts} as sass.count gives them, from nvdisasm's listing."""
        file = WORK / "listed.cubin"
        file.write_bytes(elf)
        listing = subprocess.run([WORK / "disassembler/nvdisasm", "-c", file], capture_output=True, text=True,
                                 check=True).stdout
        found, counts = {}, None
        for line in listing.splitlines():
            section = re.match(r"\s*\.section\s+\.text\.([^,\s]+)", line)
            if section:
                counts = found.setdefault(section[1], collections.Counter())
            text = re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", line)
            if not text or counts is None:
                continue
            name, *modifiers = text[1].split(".")
            if name in ("LDG", "STG"):
                width = next((m for m in modifiers if re.fullmatch(r"[US]?(8|16|64|128|256)", m)), "32")
                counts[name, int(re.sub(r"\D", "", width))] += 1
            elif name in sass.OPERATIONS.values():
                counts[name] += 1
        return found

    def expect_same_counts(self, elf, what):
        listed = self.listing_counts(elf)
        read = list(cubin.kernels_of_cubin(elf, what, what))
        self.assertTrue(read)
        for kernel in read:
            self.assertEqual(dict(sass.count(kernel.code)), dict(listed[kernel.symbol]), f"{what}: {kernel.symbol}")
        return sum((listed[kernel.symbol] for kernel in read), collections.Counter())

    def test_planted_kernels(self):
        for arch in ARCHITECTURES:
            file = WORK / f"planted_spill.{arch}.cubin"
            compile_planted(file, f"-arch=sm_{arch}", "-cubin")
            total = self.expect_same_counts(file.read_bytes(), file.name)
            for name in ("HMMA", "LDGSTS", "LDSM", "LDL", "STL", *itertools.product(("LDG", "STG"), (8, 16, 32, 128))):
                self.assertGreater(total[name], 0, f"sm_{arch}: {name} is not in the planted kernels")

    def test_given_files(self):
        for path in FILES:
            for name, data in cubin.members_of(path):
                if data[:4] == b"\x7fELF":
                    for elf in cubin.cubins_of(data, name):
                        self.expect_same_counts(elf, name)


def main():
    global WORK
    part = sys.argv[2]
    WORK = pathlib.Path(sys.argv[1]) / part  # the parts may run at once
    FILES.extend(sys.argv[3:])
    WORK.mkdir(parents=True, exist_ok=True)
    if not find_nvcc():
        print("test_static_bars: SKIPPED: no nvcc in PATH or /usr/local/cuda/bin")
        return SKIPPED
    if part == "disassembly":
        made = subprocess.run([ROOT / "tests/tools/make_disassembler.sh", WORK / "disassembler"], capture_output=True,
                              text=True)
        if made.returncode:
            print(f"test_static_bars: SKIPPED: counts were not held against nvdisasm: {made.stderr.strip()}")
            return SKIPPED
    classes = {"bars": (Bars, AgainstTheToolkit), "disassembly": (Disassembly,)}[part]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(c) for c in classes)
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
