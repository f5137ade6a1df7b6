# SPDX-License-Identifier: Apache-2.0
"""Reads and writes safetensors files with torch tensors.

Layout: u64 little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the raw
little-endian data; offsets count from the end of the header. Independent of the engine's own reader on purpose,
so that the two check each other.
"""
import json
import struct
import warnings

import torch

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def tensor_bytes(tensor):
    """Raw C-order bytes; storages, not numpy, because numpy has no bfloat16."""
    tensor = tensor.detach().cpu().contiguous().clone()
    if tensor.numel() == 0:
        return b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(tensor.flatten().view(torch.uint8).numpy())


def save(path, tensors, metadata=None):
    """Writes {name: tensor}, names in order, with the metadata {"format": "pt"} that diffusers writes."""
    header, offset, blobs = {"__metadata__": metadata or {"format": "pt"}}, 0, []
    for name in sorted(tensors):
        blob = tensor_bytes(tensors[name])
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data starts on a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)


def load(path):
    """Returns {name: tensor}."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack_from("<Q", data)[0]
    if 8 + length > len(data):
        raise ValueError(f"{path}: header of {length} bytes in a file of {len(data)}")
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        count = 1
        for size in entry["shape"]:
            count *= size
        width = torch.empty((), dtype=dtype).element_size()
        if begin < 0 or end - begin != count * width or 8 + length + end > len(data):
            raise ValueError(f"{path}: {name}: bytes {begin}..{end} do not fit {entry['dtype']} {entry['shape']}")
        raw = bytearray(data[8 + length + begin:8 + length + end])
        flat = torch.frombuffer(raw, dtype=dtype) if count else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
