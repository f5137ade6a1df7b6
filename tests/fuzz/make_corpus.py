#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds in tests/fuzz/corpus: for each parser small files that are right (ok-*) and typical damage (bad-*).

Only the standard library is used and the same bytes come out every time. found-* files, which came from fuzzing, are
left alone.
"""
import json
import struct
import warnings
import zipfile
import zlib

import config_seeds
import reader_seeds
from corpus_file import write
from tensor_files import entry, npy, npz, safetensors


# ---- safetensors

def safetensors_seeds():
    floats = struct.pack("<4f", 0.5, -1.0, 2.0, 1e-40)
    good = {"__metadata__": {"format": "pt"}, "a.weight": entry("F32", [2, 2], 0, 16)}
    write("safetensors", "ok-f32", safetensors(good, floats))
    types = {"F64": 8, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1}
    many, at = {}, 0
    for dtype, size in types.items():
        many[dtype] = entry(dtype, [3], at, at + 3 * size)
        at += 3 * size
    write("safetensors", "ok-types", safetensors(many, bytes(i * 7 % 251 for i in range(at))))
    write("safetensors", "ok-empty-and-scalar",
          safetensors({"e": entry("F32", [0, 3], 0, 0), "s": entry("F32", [], 0, 4)}, floats[:4]))
    write("safetensors", "ok-i64-in-f32", safetensors({"n": entry("F32", [2], 0, 8)}, struct.pack("<2f", 7, 9e18)))
    write("safetensors", "bad-short", b"\x01\x00")
    write("safetensors", "bad-header-lies", struct.pack("<Q", 1 << 62) + b"{}")
    write("safetensors", "bad-data-cut", safetensors(good, floats[:9]))
    write("safetensors", "bad-data-long", safetensors(good, floats + b"x"))
    write("safetensors", "bad-overlap",
          safetensors({"a": entry("U8", [3], 0, 3), "b": entry("U8", [3], 1, 4)}, b"1234"))
    write("safetensors", "bad-shape-overflow", safetensors({"a": entry("F32", [1 << 62, 4], 0, 16)}, floats))
    write("safetensors", "bad-shape-negative", safetensors({"a": entry("F32", [-1], 0, 16)}, floats))
    write("safetensors", "bad-dtype", safetensors({"a\nb": entry("F\u001b31", [4], 0, 16)}, floats))
    write("safetensors", "bad-twice", safetensors('{"a":{},"a":{}}', b""))
    write("safetensors", "bad-deep", safetensors("[" * 200, b""))
    write("safetensors", "bad-metadata", safetensors({"__metadata__": {"k\u009b": 1}}, b""))


def dataset_seeds():
    floats = struct.pack("<24f", *(i / 12 - 1 for i in range(24)))
    labels = struct.pack("<2q", 0, 3)
    samples, label = entry("F32", [2, 3, 2, 2], 0, 96), entry("I64", [2], 96, 112)
    write("dataset", "ok-f32", safetensors({"samples": samples, "labels": label}, floats + labels))
    write("dataset", "ok-u8", safetensors({"samples": entry("U8", [2, 1, 4, 3], 0, 24)}, bytes(range(24))))
    write("dataset", "ok-u8-labels",
          safetensors({"samples": entry("U8", [1, 3, 2, 4], 0, 24), "labels": entry("F32", [1], 24, 28)},
                      bytes(range(24)) + struct.pack("<f", 5)))
    write("dataset", "ok-u8-long", safetensors({"samples": entry("U8", [1, 1, 1, 300], 0, 300)}, bytes(300)))
    write("dataset", "bad-no-samples", safetensors({"images": samples}, floats))
    write("dataset", "bad-rank", safetensors({"samples": entry("F32", [24], 0, 96)}, floats))
    write("dataset", "bad-empty", safetensors({"samples": entry("F32", [0, 3, 2, 2], 0, 0)}, b""))
    write("dataset", "bad-channels", safetensors({"samples": entry("U8", [1, 2, 2, 2], 0, 8)}, bytes(8)))
    write("dataset", "bad-nan", safetensors({"samples": entry("F32", [1, 1, 1, 1], 0, 4)}, struct.pack("<f", float("nan"))))
    write("dataset", "bad-label", safetensors({"samples": samples, "labels": label}, floats + struct.pack("<2q", -1, 0)))
    write("dataset", "bad-label-count",
          safetensors({"samples": samples, "labels": entry("U8", [3], 96, 99)}, floats + b"\0\1\2"))


# ---- JSON

def json_seeds():
    write("json", "ok-object", '{"seed": 1, "learning_rate": 1e-4, "betas": [0.9, 0.999], "ema": null, "flip": true}')
    write("json", "ok-numbers", "[0, -0.0, 1e308, 18446744073709551615, -9223372036854775808, 4.9e-324]")
    write("json", "ok-text", '{"learnig_rate": "\\u00e4\\ud83d\\ude00\\n\u00df", "": ""}')
    write("json", "ok-depth", "[" * 60 + "]" * 60)
    write("json", "bad-depth", "[" * 5000)
    write("json", "bad-twice", '{"a\\n": 1, "a\\n": 2}')
    write("json", "bad-cut", '{"seed": [1, 2')
    write("json", "bad-utf8", b'{"a": "\xff\xfe"}')
    write("json", "bad-control", b'{"a": "\x1b[31m\x7f\xc2\x9b"}')
    write("json", "bad-long-token", '"' + "x" * 3000 + "\n")
    write("json", "bad-range", "1e999")


# ---- IDX and CIFAR-10

def gzip_bytes(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def idx(*shape, type_code=8, values=None):
    count = 1
    for n in shape:
        count *= n
    values = bytes(i * 5 % 256 for i in range(count)) if values is None else values
    return bytes([0, 0, type_code, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + values


def idx_seeds():
    write("idx", "ok-images", idx(2, 4, 4))
    write("idx", "ok-labels", idx(5))
    write("idx", "ok-colour", idx(1, 2, 2, 3))
    write("idx", "ok-packed", gzip_bytes(idx(2, 4, 4)))
    write("idx", "ok-long", idx(1, 1, 200))
    whole = idx(2, 4, 4)
    write("idx", "ok-packed-members", gzip_bytes(whole[:11]) + gzip_bytes(b"") + gzip_bytes(whole[11:]))
    write("idx", "bad-packed-members", gzip_bytes(whole[:11]) + gzip_bytes(whole[11:])[:-9])
    write("idx", "bad-labels-of-integers", idx(3, 2, values=struct.pack(">6i", 4, 0, 1, 0, -2, 0), type_code=12))
    write("idx", "bad-cut", idx(2, 4, 4)[:-3])
    write("idx", "bad-long", idx(2, 4, 4) + b"x")
    write("idx", "bad-size-lies", idx(1 << 20, 1 << 8, 1 << 8, values=b"x"))
    write("idx", "bad-size-wraps", idx((1 << 32) - 1, (1 << 32) - 1, (1 << 32) - 1, values=b"x"))
    write("idx", "bad-packed-size-lies", gzip_bytes(idx(1 << 20, 1 << 8, 1 << 8, values=b"x")))
    write("idx", "bad-packed-cut", gzip_bytes(idx(2, 4, 4))[:-9])
    write("idx", "bad-packed-more", gzip_bytes(idx(2, 4, 4) + bytes(4000)))
    write("idx", "bad-packed-tail", gzip_bytes(idx(2, 4, 4)) + b"tail")
    write("idx", "bad-packed-nothing", gzip_bytes(b""))
    write("idx", "bad-type", idx(2, 2, 2, type_code=13))
    write("idx", "bad-empty", b"")


def cifar_seeds():
    record = bytes([3]) + bytes(i % 256 for i in range(3072))
    write("cifar", "ok-one", record)
    write("cifar", "ok-two", record + bytes([9]) + record[1:])
    write("cifar", "bad-hundred", bytes([7]) + record)
    write("cifar", "bad-cut", record[:-1])
    write("cifar", "bad-label", record + bytes([10]) + record[1:])
    write("cifar", "bad-empty", b"")


# ---- npz

def npz_seeds():
    warnings.simplefilter("ignore", UserWarning)  # of a name that is there twice
    images = ("arr_0.npy", npy("|u1", (2, 4, 4, 3), bytes(i * 5 % 256 for i in range(96))))
    labels = ("arr_1.npy", npy("<i8", (2,), struct.pack("<2q", 3, 0)))
    mean = ("mu.npy", npy("<f8", (2,), struct.pack("<2d", 0.5, -1), version=2))
    good = npz([images])
    write("npz", "ok-images", good)
    write("npz", "ok-labels", npz([images, labels]))
    write("npz", "ok-deflated", npz([images, labels, mean], zipfile.ZIP_DEFLATED))
    write("npz", "ok-other-member", npz([("readme.txt", b"hello"), images]))
    write("npz", "bad-features", npz([("arr_0.npy", npy("<f4", (2, 3), bytes(24)))]))
    write("npz", "bad-half", npz([("arr_0.npy", npy("<f2", (3,), bytes(6), version=3))]))
    write("npz", "bad-empty", b"")
    write("npz", "bad-no-members", npz([]))
    write("npz", "bad-cut", good[:-30])
    write("npz", "bad-checksum", good.replace(b"\x05\x0a\x0f", b"\x05\x0b\x0f"))
    packed = npz([images], zipfile.ZIP_DEFLATED)
    write("npz", "bad-deflated", packed[:60] + bytes([packed[60] ^ 255]) + packed[61:])
    write("npz", "bad-method", npz([images], zipfile.ZIP_BZIP2))
    write("npz", "bad-array-cut", npz([(images[0], images[1][:-5])]))
    write("npz", "bad-array-long", npz([(images[0], images[1] + b"x")]))
    write("npz", "bad-shape-wraps", npz([("arr_0.npy", npy("|u1", (1 << 40, 1 << 40), b""))]))
    write("npz", "bad-order", npz([("arr_0.npy", npy("|u1", (2, 3), bytes(6), order="True"))]))
    write("npz", "bad-objects", npz([("arr_0.npy", npy("|O", (1,), b"\x80\x04N."))]))
    write("npz", "bad-name", npz([("a\x1b[2J\u009b" + "y" * 300 + ".npy", images[1]), images, images]))
    write("npz", "bad-array", images[1])


# ---- archives of images, and the index of a packed data set

def tar_member(name, data, kind=b"0"):
    link = data if kind in b"12" else b""
    size = 0 if link else len(data)
    name = name if isinstance(name, bytes) else name.encode()
    header = struct.pack("100s8s8s8s12s12s8s1s100s8s", name, b"0000644", b"0000000", b"0000000",
                         b"%011o" % size, b"%011o" % 0, b" " * 8, kind, link, b"ustar\x0000").ljust(512, b"\0")
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    return header if link else header + data + bytes(-len(data) % 512)


def tar(*members, end=bytes(1024)):
    return b"".join(tar_member(*member) for member in members) + end


def archive_seeds():
    picture = png(2, 2, 8, 2, bytes([0, 10, 20, 30, 40, 50, 60, 0, 1, 2, 3, 4, 5, 6]))
    classes = [("cat/1.png", picture), ("dog/1.png", picture)]
    samples = [("1.png", picture), ("1.cls", b"3\n"), ("2.png", picture), ("2.cls", b"0")]
    described = [("1.png", picture), ("1.json", b'{"label": 2}')]
    write("tar", "ok-classes", tar(*classes))
    write("tar", "ok-samples", tar(*samples))
    write("tar", "ok-json", tar(*described))
    write("tar", "ok-captions", tar(("1.png", picture), ("1.json", b'{"caption": ""}')))
    long_name = b"a/" * 80 + b"1.png"
    write("tar", "ok-long-name", tar(("././@LongLink", long_name + b"\0", b"L"), ("a", picture)))
    record = b"path=" + b"b" * 120 + b".png\n"
    write("tar", "ok-pax", tar(("h", b"%d %s" % (len(record) + 4, record), b"x"), ("a", picture)))
    write("tar", "bad-cut", tar(*classes)[:1100])
    write("tar", "bad-no-end", tar(*classes, end=b""))
    write("tar", "bad-two", tar(*classes) + tar(*classes))
    write("tar", "bad-empty", b"")
    write("tar", "bad-name", tar(("../\x1b[2J.png", picture)))
    write("tar", "bad-others", tar(*((b"\xff\x1b/%d.\xe2%d\x07" % (i, i), b"") for i in range(60))))
    write("tar", "ok-long-others", tar(("././@LongLink", b"\x80/" * 700 + b"1.txt\0", b"L"), ("a", b""), *classes))
    write("tar", "bad-class-of-others", tar(("a/1.png", picture), ("b\n/1.bmp", b"")))
    write("tar", "bad-link", tar(("a.png", b"/etc/passwd", b"2")))
    write("tar", "bad-class", tar(("1.png", picture), ("1.cls", b"\x07" * 300)))
    write("tar", "bad-size", tar(("a.png", picture)).replace(b"%011o" % len(picture), b"\x80" + b"\xff" * 10))
    write("zip", "ok-classes", npz(classes))
    write("zip", "ok-deflated", npz(classes, zipfile.ZIP_DEFLATED))
    labels = json.dumps({"labels": [["1.png", 1], ["a/2.png", 0]]})
    write("zip", "ok-labels", npz([("1.png", picture), ("a/2.png", picture), ("dataset.json", labels)]))
    write("zip", "ok-null", npz([("1.png", picture), ("dataset.json", '{"labels": null}')]))
    write("zip", "bad-labels", npz([("1.png", picture), ("dataset.json", labels)]))
    write("zip", "bad-vectors", npz([("1.png", picture), ("dataset.json", '{"labels": [["1.png", [0.5]]]}')]))
    write("zip", "bad-outside", npz([("../1.png", picture)]))
    write("zip", "bad-text", npz([("1.txt", b"hello")]))
    write("zip", "ok-others", npz([("1.png", picture), ("data\t.js\x02on", b""), ("c\x9b/2.txt", b"")]))
    write("zip", "bad-cut", npz(classes)[:-40])
    facts = {"metadata": {"ito_data_set": "1"},
             "shards": [{"file": f"b-0000{i}-of-00002.safetensors", "images": 1} for i in (1, 2)]}
    write("packed", "ok-index", json.dumps(facts))
    write("packed", "ok-part", json.dumps({**facts, "shards": facts["shards"][1:]}))
    write("packed", "bad-count", json.dumps({**facts, "shards": [{**facts["shards"][0], "images": 2}]}))
    write("packed", "bad-outside", json.dumps({**facts, "shards": [{"file": "../a", "images": 1}]}))
    write("packed", "bad-name", json.dumps({**facts, "shards": [{"file": "b\n-\x9b2J", "images": 1}]}))
    write("packed", "bad-long-name", json.dumps({**facts, "shards": [{"file": "b" * 3000, "images": 1}]}))
    write("packed", "bad-none", json.dumps({**facts, "shards": []}))
    write("packed", "bad-hash", json.dumps({**facts, "metadata": {"ito_data_set": "1", "fingerprint": "\x1b"}}))
    write("packed", "bad-names", json.dumps({**facts, "metadata": {"ito_data_set": "1", "class_names": "[\"a\"]"}}))
    write("packed", "bad-weights", json.dumps({"metadata": {}, "weight_map": {}}))


def weights_index_seeds():
    index = lambda map: json.dumps({"metadata": {"total_size": 8}, "weight_map": map})
    write("weights_index", "ok-whole", index({"a": "b.safetensors"}))
    write("weights_index", "bad-tensor", index({"a": "b.safetensors", "c": "b.safetensors"}))
    write("weights_index", "bad-less", index({"c": "b.safetensors"}))
    write("weights_index", "bad-outside", index({"a": "../b.safetensors"}))
    write("weights_index", "bad-above", index({"a": ".."}))
    write("weights_index", "bad-name", index({"a": "b\n\x1b[2J"}))
    write("weights_index", "bad-long-name", index({"a": "b" * 3000}))
    write("weights_index", "bad-kind", index({"a": 1}))
    write("weights_index", "bad-none", index({}))
    write("weights_index", "bad-no-map", "{}")


# ---- PNG and JPEG

def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, interlace=0, extra=b""):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + extra + png_chunk(b"IDAT", zlib.compress(rows, 9)) +
            png_chunk(b"IEND", b""))


def png_rows(height, row_bytes, filter_kind=0):
    return b"".join(bytes([filter_kind]) + bytes((y * 31 + x * 17) % 256 for x in range(row_bytes))
                    for y in range(height))


def turned(orientation):
    """EXIF data with the tag Orientation alone."""
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def png_seeds():
    write("png", "ok-grey", png(4, 3, 8, 0, png_rows(3, 4)))
    write("png", "ok-rgb", png(4, 3, 8, 2, png_rows(3, 12, 4)))
    write("png", "ok-rgba", png(2, 2, 8, 6, png_rows(2, 8, 1)))
    write("png", "ok-grey16", png(2, 2, 16, 0, png_rows(2, 4, 2)))
    write("png", "ok-bits", png(9, 2, 1, 0, png_rows(2, 2)))
    palette = png_chunk(b"PLTE", bytes(range(12))) + png_chunk(b"tRNS", b"\x00\x80")
    write("png", "ok-palette", png(4, 2, 2, 3, png_rows(2, 1), extra=palette))
    write("png", "ok-interlaced", png(1, 1, 8, 0, png_rows(1, 1), interlace=1))
    text = png_chunk(b"tEXt", b"Title\0seed") + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b" * 500))
    write("png", "ok-text", png(2, 2, 8, 0, png_rows(2, 2), extra=text))
    write("png", "ok-turned", png(4, 3, 8, 0, png_rows(3, 4), extra=png_chunk(b"eXIf", turned(6))))
    write("png", "ok-exif-cut", png(4, 3, 8, 0, png_rows(3, 4), extra=png_chunk(b"eXIf", turned(6)[:-7])))
    good = png(4, 3, 8, 2, png_rows(3, 12))
    write("png", "bad-cut", good[:-20])
    write("png", "bad-checksum", good[:40] + bytes([good[40] ^ 1]) + good[41:])
    write("png", "bad-size-lies", png(11000, 11000, 8, 2, png_rows(3, 12)))
    announced = struct.pack(">I", 1 << 30) + b"eXIf" + turned(6)
    write("png", "bad-exif-length", png(4, 3, 8, 0, png_rows(3, 4), extra=announced))
    write("png", "bad-size-huge", png(1 << 30, 1 << 30, 8, 2, b""))
    write("png", "bad-few-rows", png(4, 30, 8, 2, png_rows(3, 12)))
    write("png", "bad-kind", good[:24] + bytes([3, 9]) + good[26:])
    write("png", "bad-empty", b"\x89PNG\r\n\x1a\n")


class BitWriter:
    def __init__(self):
        self.bits = ""

    def put(self, value, length):
        self.bits += format(value, "b").zfill(length) if length else ""

    def data(self):
        bits = self.bits + "1" * (-len(self.bits) % 8)
        raw = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        return raw.replace(b"\xff", b"\xff\x00")


def segment(marker, data):
    return bytes([0xff, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(width, height, components, progressive=False, kind=None, sampling=0x11, data_blocks=None):
    """A gradient of block means: DC codes of 4 bits for sizes 0 to 8, AC codes of 2 bits for end, +-1 and 16 zeros."""
    kind = kind or (0xc2 if progressive else 0xc0)
    parts = b"".join(bytes([c + 1, sampling if c == 0 else 0x11, 0]) for c in range(components))
    frame = struct.pack(">BHHB", 8, height, width, components) + parts
    dc = bytes([0x00] + [0, 0, 0, 9] + [0] * 12 + list(range(9)))
    ac = bytes([0x10] + [0, 3] + [0] * 14 + [0x00, 0x01, 0xf0])
    out = b"\xff\xd8" + segment(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + segment(0xdb, b"\0" + bytes([8] * 64))
    out += segment(kind, frame) + segment(0xc4, dc) + segment(0xc4, ac)
    blocks = data_blocks or ((width + 7) // 8) * ((height + 7) // 8)

    def put_dc(bits, difference):
        size = abs(difference).bit_length()
        bits.put(size, 4)
        bits.put(difference if difference >= 0 else difference + (1 << size) - 1, size)

    def scan(which, first, last, fill):
        head = bytes([len(which)]) + b"".join(bytes([c + 1, 0]) for c in which) + bytes([first, last, 0])
        bits = BitWriter()
        for block in range(blocks):
            for c in which:
                fill(bits, block, c)
        return segment(0xda, head) + bits.data()

    def baseline_block(bits, block, c):
        put_dc(bits, 5 - 9 * c + block % 3)
        bits.put(1, 2)
        bits.put(block % 2, 1)
        bits.put(0, 2)

    if progressive:
        out += scan(range(components), 0, 0, lambda bits, block, c: put_dc(bits, 7 - c))
        for c in range(components):
            out += scan([c], 1, 63, lambda bits, block, c: bits.put(0, 2))
    else:
        out += scan(range(components), 0, 63, baseline_block)
    return out + b"\xff\xd9"


def jpeg_seeds():
    write("jpeg", "ok-grey", jpeg(16, 9, 1))
    write("jpeg", "ok-colour", jpeg(8, 8, 3))
    write("jpeg", "ok-progressive", jpeg(16, 16, 3, progressive=True))
    exif = b"Exif\0\0" + turned(8)
    marker = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    write("jpeg", "ok-turned", b"\xff\xd8" + marker + jpeg(16, 9, 1)[2:])
    good = jpeg(24, 16, 3)
    write("jpeg", "bad-cut", good[:-12])
    write("jpeg", "bad-no-scan", good[:good.index(b"\xff\xda")])
    write("jpeg", "bad-size-lies", jpeg(11000, 11000, 3, data_blocks=4))
    write("jpeg", "bad-size-lies-progressive", jpeg(11000, 11000, 3, progressive=True, data_blocks=4))
    write("jpeg", "bad-size-huge", jpeg(65000, 65000, 1, data_blocks=4))
    write("jpeg", "bad-cmyk", jpeg(8, 8, 4))
    write("jpeg", "bad-arithmetic", jpeg(8, 8, 1, kind=0xc9))
    write("jpeg", "bad-lossless", jpeg(8, 8, 1, kind=0xc3))
    scans = jpeg(8, 8, 1, progressive=True)
    start = scans.rindex(b"\xff\xda")
    write("jpeg", "bad-many-scans", scans[:start] + scans[start:-2] * 300 + scans[-2:])
    write("jpeg", "bad-empty", b"\xff\xd8\xff")


if __name__ == "__main__":
    for seeds in (safetensors_seeds, weights_index_seeds, dataset_seeds, json_seeds, *config_seeds.ALL, idx_seeds,
                  npz_seeds, archive_seeds, cifar_seeds, png_seeds, jpeg_seeds, *reader_seeds.ALL):
        seeds()
