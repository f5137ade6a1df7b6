# SPDX-License-Identifier: Apache-2.0
"""safetensors files, as far as the checks need them, and how two files differ."""
import array
import json


def read(path):
    with open(path, "rb") as file:
        return file.read()


def layout(data):
    """(header, the data's offset), or None if this is no safetensors file."""
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])
    except ValueError:
        return None
    header.pop("__metadata__", None)
    return header, 8 + size


def write(path, tensors):
    """{name: (shape, fp32 values)}."""
    header, body = {}, b""
    for name, (shape, values) in tensors.items():
        data = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + body)


def values(path, name):
    """The fp32 values of one tensor."""
    data = read(path)
    header, offset = layout(data)
    begin, end = header[name]["data_offsets"]
    return array.array("f", data[offset + begin:offset + end])


def difference(first_path, other_path):
    """None if the bytes are the same; of safetensors files the tensor, the rows and by how much, else where."""
    first, other = read(first_path), read(other_path)
    if first == other:
        return None
    layouts = layout(first), layout(other)
    if not layouts[0] or not layouts[1] or layouts[0] != layouts[1]:
        at = next((i for i, pair in enumerate(zip(first, other)) if pair[0] != pair[1]), min(len(first), len(other)))
        line = first[:at].count(b"\n") + 1
        return f"{len(first)} and {len(other)} bytes, the first difference at byte {at}, line {line}"
    header, offset = layouts[0]
    parts = []
    for name, tensor in header.items():
        begin, end = (offset + value for value in tensor["data_offsets"])
        a, b = first[begin:end], other[begin:end]
        if a == b:
            continue
        rows = tensor["shape"][0] if tensor["shape"] else 1
        row = (end - begin) // max(rows, 1)
        wrong = [i for i in range(rows) if a[i * row:(i + 1) * row] != b[i * row:(i + 1) * row]]
        text = f"{name}: {len(wrong)} of {rows} rows differ, the first is {wrong[0]}"
        if tensor["dtype"] == "F32":
            x, y = array.array("f", a), array.array("f", b)
            text += f", by at most {max(abs(p - q) for p, q in zip(x, y)):.3g}"
        parts.append(text)
    return "; ".join(parts[:4]) + (f"; and {len(parts) - 4} more tensors" if len(parts) > 4 else "")
