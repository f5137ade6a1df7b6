# SPDX-License-Identifier: Apache-2.0
"""Seeds of the readers of what users bring beside images and models, and of what a run keeps."""
import json
import struct

from corpus_file import write
from tensor_files import entry, npy, npz, safetensors


def floats(*numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


def file_of(tensors, metadata=None):
    """tensors: (name, dtype, shape, data)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, shape, bytes_of in tensors:
        header[name] = entry(dtype, shape, len(data), len(data) + len(bytes_of))
        data += bytes_of
    return safetensors(header, data)


def features_seeds():
    def statistics(mean, *covariance):
        side = len(mean)
        return npz([("mu.npy", npy("<f8", (side,), struct.pack(f"<{side}d", *mean))),
                    ("sigma.npy", npy("<f8", (side, side), struct.pack(f"<{side * side}d", *covariance)))])
    write("features", "ok-rows", npz([("arr_0.npy", npy("<f4", (2, 3), floats(*range(6))))]))
    write("features", "ok-named", npz([("features.npy", npy("<f2", (1, 2), bytes(4)))]))
    write("features", "ok-statistics", statistics((0.5, -1), 2, 0.5, 0.5, 1))
    write("features", "ok-safetensors", file_of([("features", "F32", [2, 3], floats(*range(6)))]))
    write("features", "bad-nan", npz([("arr_0.npy", npy("<f4", (1, 1), floats(float("nan"))))]))
    write("features", "bad-images", npz([("arr_0.npy", npy("|u1", (1, 2, 2, 1), bytes(4)))]))
    write("features", "bad-mean-alone", npz([("mu.npy", npy("<f8", (1,), bytes(8)))]))
    write("features", "bad-variance", statistics((0, 0), -1, 0, 0, 1))
    write("features", "bad-correlation", statistics((0, 0), 1, 3, 3, 1))
    write("features", "bad-asymmetric", statistics((0, 0), 1, 0.5, -0.5, 1))
    write("features", "bad-empty", npz([("arr_0.npy", npy("<f4", (0, 3), b""))]))
    write("features", "bad-rank", file_of([("features", "F32", [1] * 400, floats(1))]))
    write("features", "bad-none", file_of([("samples", "F32", [1, 3], floats(1, 2, 3))]))


def fnv(text):
    """engine/io/hash.h"""
    mask, prime = (1 << 64) - 1, 0x100000001b3
    value = ((0xcbf29ce484222325 ^ len(text)) * prime) & mask
    for at in range(0, len(text), 8):
        value = ((value ^ int.from_bytes(text[at:at + 8].encode(), "little")) * prime) & mask
        value ^= value >> 32
    return f"{value:016x}"


def kernel_table_seeds():
    def table(of, **other):
        said = fnv("a card\n" + "".join(f"{key}: {name}\n" for key, name in sorted(of.items())))
        return json.dumps({"device": "a card", "hash": said, "choices": of, **other})
    layers = {"forward 4x4x8 to 8, filters 3x3": "portable", "another": "cudnn:engine 9, knobs 2=19"}
    write("kernel_table", "ok-two", table(layers))
    write("kernel_table", "ok-none", table({}))
    write("kernel_table", "bad-hash", table(layers, hash="\x1b[2J" + "y" * 3000))
    write("kernel_table", "bad-changed", table(layers, choices={"another": "portable"}))
    write("kernel_table", "bad-choice", table(layers, choices={"k\n\x1b" + "y" * 3000: ["\x9b" * 300]}))
    write("kernel_table", "bad-device", json.dumps({"device": 3}))
    write("kernel_table", "bad-kind", "[]")


def level_statistics_seeds():
    def put(name, **changes):
        write("level_statistics", name, json.dumps({"images": [4, 0, 2], "error": [0.5, 0, 1e-3], **changes}))
    put("ok-errors")
    put("ok-mixing", mix_product=[1, 0, 2], mix_square=[2, 0, 2])
    put("ok-unmeasured", images=[0, 0, 0])
    put("bad-length", error=[0.5])
    put("bad-number", error=[0.5, 0, "\x1b" * 300])
    put("bad-negative", images=[4, 0, -1])
    put("bad-mixing", mix_square=[1, 2, 3])
    write("level_statistics", "bad-huge", '{"images": [1, 1, 1e999], "error": [0, 0, 0]}')
    write("level_statistics", "bad-kind", "[]")


def label_rows_seeds():
    def put(name, shape, data, dtype="F32", tensor="labels"):
        write("label_rows", name, file_of([(tensor, dtype, shape, data)]))
    put("ok-numbers", [3], floats(20, 40.5, -1))
    put("ok-column", [2, 1], floats(20, 40))
    put("ok-rows", [2, 3], floats(*range(6)))
    put("bad-width", [2, 2], floats(*range(4)))
    put("bad-nan", [1], floats(float("inf")))
    put("bad-empty", [0], b"")
    put("ok-whole", [2], bytes(16), "I64")
    put("bad-type", [2], bytes(2), "F8_E4M3")
    put("bad-none", [2], floats(1, 2), tensor="ages\x1b")
    put("bad-rank", [1] * 400, floats(1))


def run_options_seeds():
    def put(name, **options):
        write("run_options", name, json.dumps(options))
    put("ok-none")
    put("ok-some", data="images/", out="runs/a", steps=20, batch=8, lr=0.003, adam_betas=[0.8, 0.9], flip=True,
        lr_schedule="constant", seed=18446744073709551615, started_in="..")
    put("ok-names", data={"hex": "ff0a", "text": "\\xff\\x0a"}, out="a\nb")
    put("bad-key", stepz=3)
    put("bad-long-key", **{"k\n\x1b[2J\u009b" + "y" * 3000: 1})
    put("bad-kind-of-value", steps="many\x1b" * 100)
    put("bad-range", steps=0)
    put("bad-negative", seed=-1)
    put("bad-fraction", batch=1.5)
    put("bad-list", adam_betas=[0.9])
    put("bad-numbers", adam_betas=[0.9, "x"])
    put("bad-hex", data={"hex": "f"})
    put("bad-null", lr=None)
    put("bad-config", config="again.json")
    write("run_options", "bad-array", "[]")


def snapshot_seeds():
    """Of the layout of fuzz_snapshot.cpp."""
    def arena(prefix, frozen):
        filter_, matrix = ("f", [2, 1, 1, 2], floats(*range(4))), ("m.to_q.w", [2, 3], floats(*range(6)))
        tensors = [filter_, matrix, ("v", [2], floats(1, 2))] if frozen else [filter_, matrix]
        return [(prefix + name, "F32", shape, data) for name, shape, data in tensors]
    arenas = arena("weights.", True) + arena("first_moment.", False) + arena("second_moment.", False)
    scalars = [("state." + name, "I64", [], struct.pack("<q", 3)) for name in
               ("step", "applied", "skipped", "skipped_in_row", "most_skipped_in_row", "loss_count")]
    scalars += [("state." + name, "F64", [], struct.pack("<d", 0.5)) for name in
                ("beta1_power", "beta2_power", "loss_sum", "last_loss", "gradient_norm")]
    scalars += [("state." + name, "F32", [], floats(0.5)) for name in
                ("learning_rate", "gradient_scale", "bias_correction1", "bias_correction2", "ema_decay")]
    scalars += [("state.apply", "I32", [], struct.pack("<i", 1))]
    scalars += [(name, "I64", [], struct.pack("<q", -7)) for name in ("seed", "configuration_hash", "data_fingerprint")]
    kernels = [("kernels", "U8", [3], b"cpu")]
    levels = [("level_losses.losses", "F32", [2, 10], floats(*range(20))),
              ("level_losses.counts", "I64", [2], struct.pack("<2q", 0, 13))]
    whole = arenas + scalars + kernels

    def put(name, tensors):
        write("snapshot", name, file_of(tensors))
    put("ok-whole", whole)
    put("ok-levels", whole + levels)
    old = [(name.replace(".to_q.", ".query."), *rest) for name, *rest in whole]
    put("bad-old-names", old)
    put("bad-weights-alone", [(name.removeprefix("weights."), *rest) for name, *rest in arena("weights.", True)])
    put("bad-missing", whole[1:])
    put("bad-no-scalar", arenas + scalars[1:] + kernels)
    put("bad-scalar-kind", arenas + [("state.step", "F64", [], bytes(8))] + scalars[1:] + kernels)
    put("bad-scalar-shape", arenas + [("state.step", "I64", [1] * 400, bytes(8))] + scalars[1:] + kernels)
    put("bad-shape", [("weights.f", "F32", [1] * 400, floats(1))] + whole[1:])
    put("bad-surplus", whole + [("w\n\x1b[2J\u009b" + "y" * 900, "U8", [0], b"")])
    put("bad-levels", whole + levels[:1])
    put("bad-count", whole + [levels[0], ("level_losses.counts", "I64", [2], struct.pack("<2q", 0, 20))])
    put("bad-kernels", arenas + scalars + [("kernels", "U8", [4], b"a\x1b[2")])
    put("bad-long-kernels", arenas + scalars + [("kernels", "U8", [1001], b"k" * 1001)])


def measurements_seeds():
    y = ("measurements", "F32", [2, 3], floats(*range(6)))
    truth = ("truth", "F32", [2, 1, 2, 1], floats(*range(4)))
    labels = ("labels", "I64", [2], struct.pack("<2q", 0, 1))
    facts = {"operator": "inpaint:box", "sigma_y": "0.05", "image": "1,2,1", "seed": "7"}

    def put(name, tensors, **said):
        write("measurements", name, file_of(tensors, said))
    put("ok-whole", [y, truth, labels], **facts)
    put("ok-alone", [y])
    put("bad-none", [truth])
    put("bad-width", [("measurements", "F32", [3, 2], y[3])])
    put("bad-empty", [("measurements", "F32", [0, 3], b"")])
    put("bad-rank", [("measurements", "F32", [1] * 400, floats(1))])
    put("bad-nan", [("measurements", "F32", [1, 3], floats(1, float("nan"), 2))])
    put("bad-truth", [y, ("truth", "F32", [4], truth[3])])
    put("bad-labels", [y, ("labels", "I64", [1], bytes(8))])
    put("bad-noise", [y], sigma_y="\x1b" + "9" * 3000)
    put("bad-noise-size", [y], sigma_y="1e300")
    put("bad-image", [y], image="1,2,")
    put("bad-image-sides", [y], image="1,2,4294967297")


def samples_seeds():
    images = ("samples", "F32", [2, 3, 1, 2], floats(*range(12)))
    write("samples", "ok-floats", file_of([images]))
    write("samples", "ok-halves", file_of([("samples", "F16", [1, 1, 2, 2], bytes(8))]))
    write("samples", "ok-bytes", npz([("arr_0.npy", npy("|u1", (1, 2, 2, 3), bytes(range(12))))]))
    write("samples", "bad-none", file_of([("images", *images[1:])]))
    write("samples", "bad-rank", file_of([("samples", "F32", [12], images[3])]))
    write("samples", "bad-features", npz([("arr_0.npy", npy("<f4", (2, 3), bytes(24)))]))
    write("samples", "bad-empty", file_of([("samples", "F32", [0, 3, 1, 2], b"")]))
    write("samples", "bad-nan", file_of([("samples", "F32", [1, 1, 1, 1], floats(float("inf")))]))
    write("samples", "bad-whole", file_of([("samples", "I64", [1, 1, 1, 1], bytes(8))]))
    write("samples", "bad-size-lies", npz([("arr_0.npy", npy("|u1", (1 << 29, 1 << 13, 1 << 13, 3), b""))]))


ALL = (features_seeds, kernel_table_seeds, level_statistics_seeds, label_rows_seeds, run_options_seeds, snapshot_seeds,
       measurements_seeds, samples_seeds)
