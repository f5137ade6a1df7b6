# SPDX-License-Identifier: Apache-2.0
"""What the CPU did, for the GPU to be compared with: a small data set, a model that was trained on it for 50 steps, the
losses on the way, its prediction of given noise, and the command lines as JSON, so that the GPU runs the very same."""
import gzip
import json
import os
import shutil
import tempfile

import tensors
from context import json_lines
from process import run
from results import write_json

IMAGES = 4096
SOURCE = "/usr/share/datasets/fashion-mnist"
TRAIN = ["train", "--data", "{data}", "--out", "{out}", "--model", "demo", "--batch", "64", "--lr", "1e-3", "--seed",
         "1", "--warmup", "10", "--flip", "--log-every", "1", "--checkpoint-every", "0"]
SHORT_STEPS = 6
PICTURES = 64  # of the large model's data set
SAMPLE = ["sample", "--checkpoint", "{checkpoint}", "--out", "{out}", "--count", "64", "--seed", "3"]
FLAGS = {
    "version": 3,
    "train": TRAIN + ["--steps", "50", "--sample-every", "50"],
    "train_short": TRAIN + ["--steps", str(SHORT_STEPS), "--sample-every", str(SHORT_STEPS)],
    "short_weights": f"checkpoint-{SHORT_STEPS:06d}/unet/diffusion_pytorch_model.safetensors",
    "micro_batches": [0, 16, 32],  # images; 0: the whole batch
    "sample": {"ddpm": SAMPLE + ["--sampler", "ddpm", "--steps", "20"],
               "ddim": SAMPLE + ["--sampler", "ddim", "--steps", "10"]},
    "sample_batches": [64, 8, 3, 1],
    "large": {"name": "ddpm-cifar10 bf16", "checkpoint": "checkpoint-000001", "batches": [64, 20, 3, 1],
              "train": ["train", "--data", "{pictures}", "--out", "{out}", "--model", "ddpm-cifar10", "--batch", "16",
                        "--steps", "1", "--seed", "1", "--precision", "bf16", "--checkpoint-every", "0"],
              "sample": ["sample", "--checkpoint", "{checkpoint}", "--out", "{out}", "--count", "64", "--seed", "3",
                         "--sampler", "ddim", "--steps", "3", "--precision", "bf16"]},
    "predict": ["predict", "--checkpoint", "{checkpoint}", "--input", "{golden}/input.safetensors", "--output",
                "{out}"],
}


def cut(name, head_bytes, bytes_each, target):
    """The first IMAGES entries of an IDX file, compressed with no time inside, so that equal cuts are equal files."""
    with gzip.open(os.path.join(SOURCE, name)) as file:
        head = bytearray(file.read(head_bytes))
        body = file.read(IMAGES * bytes_each)
    head[4:8] = IMAGES.to_bytes(4, "big")
    with open(os.path.join(target, name), "wb") as out:
        with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed:
            packed.write(bytes(head) + body)


def write_pictures(path):
    """A CIFAR-10 file of noise: the large model's data set, of which one step is made."""
    state, data = 54321, bytearray()
    for picture in range(PICTURES):
        data.append(picture % 10)
        for _ in range(3 * 32 * 32):
            state = (state * 1103515245 + 12345) % 2 ** 31
            data.append(state >> 23)
    with open(path, "wb") as file:
        file.write(data)


def write_input(path, images=8, size=28):
    """Noise of several strengths over the timesteps, from a generator that is the same in every Python."""
    state, noise = 12345, []
    for _ in range(images * size * size):
        total = 0.0  # twelve uniform numbers: near enough to normal
        for _ in range(12):
            state = (state * 1103515245 + 12345) % 2 ** 31
            total += state / 2 ** 31
        noise.append(total - 6)
    tensors.write(path, {"sample": ([images, 1, size, size], noise),
                         "timestep": ([images], [float(i * 999 // (images - 1)) for i in range(images)])})


def is_current(folder, program):
    path = os.path.join(folder, "recording.json")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(program):
        return False
    with open(path) as file:
        recorded = json.load(file)
    return all(recorded.get(key) == value for key, value in FLAGS.items())


def record(folder, program, say):
    """Makes `folder` with the program (ito-cpu), unless it is there and as it should be. Raises RuntimeError."""
    if not os.path.exists(program):
        raise RuntimeError(f"{program} is not there: it makes the losses to compare with; build it with "
                           "cmake --build --preset cuda")
    if is_current(folder, program):
        return
    if not os.path.exists(os.path.join(SOURCE, "train-images-idx3-ubyte.gz")):
        raise RuntimeError(f"{SOURCE} is not there: install the package dataset-fashion-mnist")
    say("recording the CPU's losses")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as place:
        data = os.path.join(place, "data")
        os.makedirs(data)
        cut("train-images-idx3-ubyte.gz", 16, 28 * 28, data)
        cut("train-labels-idx1-ubyte.gz", 8, 1, data)
        write_pictures(os.path.join(data, "pictures.bin"))
        out = os.path.join(place, "run")
        words = [word.format(data=os.path.join(data, "train-images-idx3-ubyte.gz"), out=out) for word in FLAGS["train"]]
        outcome = run([program] + words, 900, os.path.join(place, "log"), dict(os.environ, OMP_WAIT_POLICY="passive"))
        if outcome.code != 0:
            raise RuntimeError(f"ito-cpu train: {outcome.ending()}: {outcome.last_line()}")
        checkpoint = os.path.join(out, "checkpoint-000050")
        losses = [line["loss"] for line in json_lines(os.path.join(out, "metrics.jsonl"))]
        if len(losses) != 50:
            raise RuntimeError(f"ito-cpu train wrote {len(losses)} losses, expected 50")
        state = os.path.join(checkpoint, "ito_state.safetensors")  # only a resumed run reads it
        if os.path.exists(state):
            os.remove(state)
        golden = os.path.join(place, "golden")
        os.makedirs(golden)
        write_input(os.path.join(golden, "input.safetensors"))
        words = [word.format(checkpoint=checkpoint, golden=golden, out=os.path.join(golden, "prediction.safetensors"))
                 for word in FLAGS["predict"]]
        outcome = run([program] + words, 100, os.path.join(place, "log"))
        if outcome.code != 0:
            raise RuntimeError(f"ito-cpu predict: {outcome.ending()}: {outcome.last_line()}")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        shutil.move(golden, os.path.join(folder, "golden"))
        shutil.move(data, os.path.join(folder, "data"))
        shutil.move(checkpoint, os.path.join(folder, "model"))
        write_json(os.path.join(folder, "recording.json"), dict(FLAGS, losses=losses))
