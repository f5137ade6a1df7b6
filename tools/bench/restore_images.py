#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restores 16 test images with every solver that suits a task, and renews the tables and pictures of the page.

  restore_images.py --checkpoint DIR [--ito build/ito] [--data fashion-mnist] [--docs docs] [--work build/inverse]
                    [--draws 4] [--count 16] [--jobs 2] [--paper] [--tasks inpaint ..]

A task is an operator and a noise level. Its measurements are made once, and all solvers restore them: PSNR and SSIM of
the posterior mean and of single draws, the residual |y - H x| / (s sqrt M) of the draws (1 is right), and how many
images a second came out (the whole command on one thread, its start included). Results go between markers of
inverse-problems.md, a picture a task to images/restore-TASK.png. --paper takes the published numbers of steps. --tasks
restores these alone and prints them. Tasks run --jobs at a time.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time

# Name, what it is, operator, sigma_y, the solver of the picture, solvers besides those of all tasks.
TASKS = [
    ("inpaint", "the middle half of each side missing", "inpaint:box", 0.02, "pigdm",
     ["imputation", "blend", "repaint", "mcg"]),
    ("sr2", "means of 2 x 2 pixels", "pool:2", 0.02, "ddrm", []),
    ("sr4", "means of 4 x 4 pixels", "pool:4", 0.02, "pigdm", []),
    ("deblur", "a Gaussian of 1.5 pixels", "blur-gaussian:1.5", 0.02, "pigdm", []),
    ("sensing", "a quarter of the Walsh-Hadamard coefficients", "hadamard:0.25", 0.02, "pigdm", []),
]
SOLVERS = ["ddrm", "ddnm", "pigdm", "dps", "snips", "diffpir", "red-diff"]
PICTURED = 4


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"restore_images: {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def replaced(page, name, text):
    """The page with what stands between the markers of that name replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        sys.exit(f"restore_images: the page has no markers '{begin}' and '{end}'")
    return page[: page.index(begin) + len(begin)] + "\n" + text + "\n" + page[page.index(end):]


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--ito", default="build/ito")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--docs", default="docs")
    parser.add_argument("--work", default="build/inverse")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--tasks", nargs="*", choices=[task[0] for task in TASKS])
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    tasks = [task for task in TASKS if not args.tasks or task[0] in args.tasks]

    def restore(task, solver, out, extra):  # a task by its name
        folder = os.path.join(args.work, out)
        shutil.rmtree(folder, ignore_errors=True)
        begin = time.monotonic()
        run([args.ito, "restore", "--checkpoint", args.checkpoint, "--measurements",
             os.path.join(args.work, task + ".safetensors"), "--solver", solver, "--seed", "1", "--threads", "1",
             "--out", folder]
            + (["--paper"] if args.paper else []) + extra)
        seconds = time.monotonic() - begin
        with open(os.path.join(folder, "restored.json"), encoding="utf-8") as file:
            return json.load(file), seconds

    def section(task):
        name, what, operator, sigma, of_picture, besides = task
        run([args.ito, "measure", "--data", args.data, "--split", "test", "--count", str(args.count), "--operator",
             operator, "--sigma-y", str(sigma), "--seed", "1", "--out", os.path.join(args.work, name + ".safetensors")])
        lines = [f"**{name}**: {what} (`{operator}`, sigma_y {sigma}); the picture is of `{of_picture}`.", "",
                 f"![{name}: {what}](images/restore-{name}.png)", "",
                 "| solver | PSNR of the mean | SSIM of the mean | PSNR of a draw | SSIM of a draw | residual | images/s |",
                 "|---|---|---|---|---|---|---|"]
        for solver in SOLVERS + besides:
            report, seconds = restore(name, solver, f"{name}-{solver}", ["--draws", str(args.draws)])
            psnr, ssim = report["psnr"], report["ssim"]
            lines.append(f"| `{solver}` | {number(psnr['of_mean'], 2)} | {number(ssim['of_mean'], 3)} | "
                         f"{number(psnr['of_sample'], 2)} | {number(ssim['of_sample'], 3)} | "
                         f"{number(report['residual']['median'], 2)} | {args.count * args.draws / seconds:.2f} |")
            print(name, lines[-1], file=sys.stderr, flush=True)
        restore(name, of_picture, f"{name}-picture", ["--draws", "8", "--count", str(PICTURED)])
        return "\n".join(lines) + "\n"

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        sections = list(pool.map(section, tasks))
    if args.tasks:
        print("\n".join(sections))
        return
    for task in tasks:
        shutil.copy(os.path.join(args.work, f"{task[0]}-picture", "restored.png"),
                    os.path.join(args.docs, "images", f"restore-{task[0]}.png"))
    page_file = os.path.join(args.docs, "inverse-problems.md")
    with open(page_file, encoding="utf-8") as file:
        page = file.read()
    with open(page_file, "w", encoding="utf-8") as file:
        file.write(replaced(page, "image scores", "\n" + "\n".join(sections)))


if __name__ == "__main__":
    main()
