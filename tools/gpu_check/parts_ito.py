# SPDX-License-Identifier: Apache-2.0
"""The parts that run ito-cuda: beside the CPU a prediction and losses; same bits, ceilings, benches, the sanitizer."""
import concurrent.futures
import json
import os
import shutil

import tensors
from context import PORTABLE, json_lines, worst
from results import FAILED, NO_DEVICE, PASSED, SKIPPED, TIMED_OUT, Result

# Largest relative differences from what the CPU computed in fp32. The CPU and sim, with other kernels and other orders
# of sums, differ in fp32 by 2.2e-8 in a loss and by 5.8e-7 in a prediction; the CPU in bf16 differs from itself in fp32
# by 9.7e-4 in a loss and by 4.5e-3 in a prediction, and TF32, whose products round 8 times finer, would by some 1e-4 and
# 6e-4. So a run that takes TF32 or bf16 for fp32 is outside.
LOSS_LIMITS = {"fp32": 1e-5, "bf16": 3e-3}
PREDICTION_LIMITS = {"fp32": 1e-5, "bf16": 1.5e-2}


def compare_prediction(context, recording, precision, extra, log):
    """One forward pass beside the recorded one, relative to the largest value of that."""
    out = context.scratch(log)
    outcome = context.ito(context.words(recording["predict"], out=out) + ["--precision", precision], 60, log, extra)
    trouble = context.judge(outcome)
    if trouble:
        return trouble
    expected = tensors.values(os.path.join(context.place.recording, "golden/prediction.safetensors"), "prediction")
    got = tensors.values(out, "prediction")
    os.remove(out)
    difference = max(abs(a - b) if a == a else float("inf") for a, b in zip(got, expected))
    largest = difference / max(map(abs, expected))
    limit = PREDICTION_LIMITS[precision]
    fits = len(got) == len(expected) and largest < limit
    return Result(PASSED if fits else FAILED,
                  f"{precision}: largest relative difference {largest:.2e} (limit {limit:.1e})", precision=precision,
                  largest=largest, limit=limit)


def compare_losses(context, recording, precision, extra, log):
    """One training run beside the recorded one: (Result, the numbers)."""
    out = context.scratch(log)
    command = context.words(recording["train"], out=out) + ["--precision", precision]
    outcome = context.ito(command, 60, log, extra)
    trouble = context.judge(outcome)
    if trouble:
        return trouble
    expected = recording["losses"]
    got = [line["loss"] for line in json_lines(os.path.join(out, "metrics.jsonl"))]
    shutil.rmtree(out, ignore_errors=True)
    if len(got) != len(expected):
        return Result(FAILED, f"{len(got)} losses, expected {len(expected)}", losses=got)
    differences = [abs(a - b) / abs(b) if isinstance(a, float) else float("inf") for a, b in zip(got, expected)]
    largest = max(differences)
    step = differences.index(largest) + 1
    limit = LOSS_LIMITS[precision]
    return Result(PASSED if largest < limit else FAILED,
                  f"{precision}: largest relative difference {largest:.2e} at step {step} (limit {limit:.1e})",
                  precision=precision, largest=largest, step=step, limit=limit, losses=got, expected=expected,
                  seconds=outcome.seconds)


def beside_the_cpu(compare, name):
    """A part that compares in both precisions, and once more on the portable kernels what fails."""
    def part(context):
        recording = context.place.load_recording()
        results, again = [], []
        for precision in LOSS_LIMITS:
            result = compare(context, recording, precision, {}, f"{name}-{precision}")
            results.append(result)
            if result.status in (FAILED, TIMED_OUT):
                again.append(compare(context, recording, precision, PORTABLE, f"{name}-{precision}-portable"))
        if all(result.status == NO_DEVICE for result in results):
            return results[0]
        record = [dict(result.details, status=result.status, summary=result.summary) for result in results + again]
        summary = "; ".join(result.summary for result in results)
        summary += "".join(f"; on the portable kernels {result.summary}" for result in again)
        return Result(worst(results), summary, runs=record[:len(results)], portable=record[len(results):])
    return part


golden = beside_the_cpu(compare_prediction, "golden")
losses = beside_the_cpu(compare_losses, "losses")


def run_side_by_side(context, jobs, limit):
    """{name: Outcome} of ito runs that do not mind each other, a few at a time."""
    workers = max(1, min(4, os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda item: (item[0], context.ito(item[1], limit, item[0])), jobs.items())
        return dict(done)


def large_bits(context, recording):
    """(what, {name: (command, folder, files)}) of samples of a model whose layers are those of real use, by batches of
    which some leave a kernel's last wave of blocks not full; or the Result that says why there is no such model."""
    large = recording["large"]
    out = context.scratch("bits-large-train")
    trouble = context.judge(context.ito(context.words(large["train"], out=out), 60, "bits-large-train"))
    if trouble:
        return None, trouble
    checkpoint = os.path.join(out, large["checkpoint"])
    runs = {}
    for batch in large["batches"]:
        name = f"bits-large-{batch}"
        out = context.scratch(name)
        command = context.words(large["sample"], out=out, checkpoint=checkpoint) + ["--batch", str(batch)]
        runs[name] = (command, out, ["samples.safetensors"])
    return (f"{large['name']}, batch {'/'.join(map(str, large['batches']))}", runs), None


def same_bits(context):
    """Samples do not know the batch that they were drawn in, trained weights and losses not the micro-batch, and
    neither whether the launches were captured into a graph."""
    recording = context.place.load_recording()
    groups = []  # (what, {name: (command, files that must be equal)})
    for precision in ("fp32", "bf16"):
        for sampler, flags in recording["sample"].items():
            runs = {}
            batches = recording["sample_batches"]
            for way, batch in [(str(batch), batch) for batch in batches] + [("eager", batches[0])]:
                name = f"bits-{sampler}-{precision}-{way}"
                out = context.scratch(name)
                command = context.words(flags, out=out) + ["--precision", precision, "--batch", str(batch)]
                command += ["--eager"] if way == "eager" else []
                runs[name] = (command, out, ["samples.safetensors"])
            groups.append((f"{sampler} {precision}, batch {'/'.join(map(str, batches))} and eager", runs))
        runs = {}
        sizes = recording["micro_batches"]
        for way, size in [(str(size), size) for size in sizes] + [("again", sizes[0]), ("eager", sizes[0])]:
            name = f"bits-train-{precision}-{way}"
            out = context.scratch(name)
            command = context.words(recording["train_short"], out=out)
            command += ["--precision", precision, "--micro-batch", str(size)] + (["--eager"] if way == "eager" else [])
            runs[name] = (command, out, ["metrics.jsonl", recording["short_weights"]])
        groups.append((f"training {precision}, micro-batch {'/'.join(map(str, sizes))}, again and eager", runs))
    if "none" not in context.device:
        large, trouble = large_bits(context, recording)
        if trouble:
            return trouble
        groups.append(large)
    jobs = {name: command for _, runs in groups for name, (command, _, _) in runs.items()}
    if "none" in context.device:
        jobs = dict(list(jobs.items())[:1])
    outcomes = run_side_by_side(context, jobs, 60)
    troubles = [trouble for trouble in map(context.judge, outcomes.values()) if trouble]
    if troubles:
        first = next((t for t in troubles if t.status == worst(troubles)), troubles[0])
        return Result(first.status, first.summary, runs=[outcome.record() for outcome in outcomes.values()])
    differences, equal = [], []
    for what, runs in groups:
        names = list(runs)
        found = []
        for name in names[1:]:
            for file in runs[name][2]:
                first, other = [os.path.join(runs[run][1], file) for run in (names[0], name)]
                difference = tensors.difference(first, other)
                if difference:
                    found.append({"first": names[0], "other": name, "file": file, "difference": difference})
        differences += found
        equal += [] if found else [what]
    shutil.rmtree(os.path.join(context.folder, "work"), ignore_errors=True)
    seconds = {name: round(outcome.seconds, 2) for name, outcome in outcomes.items()}
    if differences:
        first = differences[0]
        return Result(FAILED, f"{len(differences)} files differ; {first['other']} from {first['first']} in "
                              f"{first['file']}: {first['difference']}", differences=differences, equal=equal,
                      seconds_of=seconds)
    return Result(PASSED, f"the same bytes: {'; '.join(equal)}", equal=equal, seconds_of=seconds)


def find_sanitizer():
    found = shutil.which("compute-sanitizer")
    for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda"):
        for part in ("bin/compute-sanitizer", "compute-sanitizer/compute-sanitizer"):
            path = os.path.join(home, part) if home else ""
            if not found and os.access(path, os.X_OK):
                found = path
    return found


# The libraries ask with calls that may fail, which is no error of ours.
SANITIZER_FLAGS = ["--error-exitcode", "99", "--print-limit", "5", "--report-api-errors", "no"]


def sanitizer(context):
    """compute-sanitizer over two training steps (memory) and over the tests of shared memory (races), on the portable
    kernels: what a library tries before it chooses would take most of the time."""
    recording = context.place.load_recording()
    train = context.words(recording["train_short"], out=context.scratch("sanitizer"))
    train[train.index("--steps") + 1] = "2"
    train.append("--eager")  # the tool's words are about kernels, not about a graph
    tool = find_sanitizer()
    if not tool:
        if "none" in context.device:
            return Result(NO_DEVICE, context.device["none"])
        return Result(SKIPPED, "compute-sanitizer is not on this machine")
    jobs = {"memcheck": [context.place.ito] + train,
            "racecheck": [context.place.tests, "--gtest_filter=Words*:GroupNorm/*.MatchesLoops:GradientNorm.*"]}
    results, runs = [], []
    for name, program in jobs.items():
        outcome = context.run([tool, "--tool", name] + SANITIZER_FLAGS + program, 90, f"sanitizer-{name}", PORTABLE)
        runs.append(dict(outcome.record(), tool=name))
        trouble = context.judge(outcome)
        if trouble and trouble.status == FAILED and outcome.code == 99:
            errors = [line for line in outcome.text.splitlines() if line.startswith("=========")]
            trouble = Result(FAILED, f"{name}: {' '.join(errors[-1:])} {errors[0] if errors else ''}")
        results.append(trouble or Result(PASSED, f"{name}: no errors"))
    if all(result.status == NO_DEVICE for result in results):
        return Result(NO_DEVICE, results[0].summary, runs=runs)
    return Result(worst(results), "; ".join(result.summary for result in results), runs=runs)


def rate(value, unit):
    for scale, prefix in ((1e12, "T"), (1e9, "G")):
        if value >= scale:
            return f"{value / scale:.2f} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def ceilings(context):
    outcome = context.ito(["bench", "ceilings", "--json", "--repetitions", "5"], 60, "ceilings")
    trouble = context.judge(outcome)
    if trouble:
        return trouble
    found = json.loads(outcome.out.splitlines()[-1])
    best = {}
    for product in found["products"]:
        best[product["type"]] = max(best.get(product["type"], 0), product["flop_per_second"]["median"])
    summary = f"copy {rate(found['copy']['bytes_moved_per_second']['median'], 'B/s')}; " + "; ".join(
        f"{name} products {rate(value, 'FLOP/s')}" for name, value in best.items())
    return Result(PASSED, summary, ceilings=found)


# What is timed: the name of a step, model, batch, precision, and what is in the environment besides.
HEADLINES = [("train", "ddpm-cifar10", 128, "bf16"), ("sample", "ddpm-cifar10", 64, "bf16")]
NO_LOOP = {"ITO_GRAPH_LOOPS": "0"}  # the host launches every turn: what the loop inside a graph is worth
BENCHES = [("train", "ddpm-cifar10", 128, "fp32"), ("sample", "ddpm-cifar10", 1, "bf16"),
           ("train", "demo", 64, "bf16"), ("sample", "demo", 1, "bf16"),
           ("sample", "ddpm-cifar10", 1, "bf16", NO_LOOP)]


def time_steps(context, cases, words=()):
    found, results = [], []
    for what, model, batch, precision, *environment in cases:
        command = ["bench", what, "--model", model, "--batch", str(batch), "--precision", precision, "--json"] + list(words)
        extra = environment[0] if environment else {}
        log = "-".join(["bench", what, model, str(batch), precision] + list(extra) + (["table"] if words else []))
        outcome = context.ito(command, 40, log, extra)
        trouble = context.judge(outcome)
        if trouble:
            results.append(trouble)
            if trouble.status == NO_DEVICE:
                return trouble
            continue
        found.append(dict(json.loads(outcome.out.splitlines()[-1]), environment=extra))
        results.append(Result(PASSED, ""))
    lines = [f"{one['what']} {one['model']} {one['batch']} {one['precision']}"
             f"{''.join(f' {name}={value}' for name, value in one['environment'].items())}: "
             f"{1e3 * one['seconds']:.3g} ms, {one['images_per_second']:.4g} images/s, "
             f"{one['bytes_beside_allocations'] / 2 ** 20:.0f} MiB beside the plan" for one in found]
    troubles = [result.summary for result in results if result.status != PASSED]
    for line in lines:
        print("  " + line, flush=True)
    return Result(worst(results), "; ".join(troubles + lines), benches=found, troubles=troubles)


def headlines(context):
    return time_steps(context, HEADLINES)


def tune(context):
    """A kernel table of the largest step, kept as logs/kernel_table.json, and that step once more with it."""
    table = os.path.join(context.logs, "kernel_table.json")
    what, model, batch, precision = HEADLINES[0]
    command = ["bench", "--tune", table, "--model", model, "--batch", str(batch), "--precision", precision, "--json"]
    outcome = context.ito(command, 60, "tune")
    trouble = context.judge(outcome)
    if trouble:
        return trouble
    kernels = json.loads(outcome.out.splitlines()[-1])["kernels"]
    refused = [f"{one['kernel']} for the {one['layer']}: {one['refused']}" for one in kernels if "refused" in one]
    timed = time_steps(context, [(what, model, batch, precision)], ["--kernel-table", table])
    # What a library proposes may be refused; a kernel of ours may not.
    ours = [text for text in refused if text.startswith("sm")]
    summary = f"{len(kernels)} kernels tried, {len(refused)} refused; with the table {timed.summary}"
    if ours:
        return Result(FAILED, f"{ours[0]}; {summary}", kernels=kernels)
    return Result(timed.status, summary, kernels=kernels, benches=timed.details.get("benches", []))


def benches(context):
    return time_steps(context, BENCHES)
