# SPDX-License-Identifier: Apache-2.0
"""What a compiled kernel takes of a multiprocessor, read from archives and fat objects without NVIDIA's tools.

An archive holds fat objects; a fat object's section .nv_fatbin holds images; an image of kind 2 is a cubin, the ELF
file of one architecture. In a cubin the section .text.<kernel> is the code, .nv.shared.<kernel> the static shared
memory, .nv.constant0.<kernel> the parameters' constant bank, and .nv.info with .nv.info.<kernel> are lists of
attributes. The layouts are undocumented; tests/tools/test_static_bars.py holds them against ptxas -v.
"""
import ctypes
import dataclasses
import pathlib
import re
import struct

FATBIN_MAGIC = 0xBA55ED50
IMAGE_IS_ELF = 2
IMAGE_IS_ZSTD = 0x8000  # of an image's flags: what nvcc --compress-mode=size and the default make
IMAGE_IS_OLDER = 0x6000  # LZ4 and a form before it
SYSTEM_SHARED = 1024  # bytes a block that the system reserves; from sm_90 on they are part of .nv.shared.<kernel>

# Attributes of .nv.info: (form, code, payload); form 4 carries a length, the others two bytes or none.
FORM_SIZED = 4
CODE_MAX_THREADS = 0x05  # 3 x u32: the launch bounds' block
CODE_REQUIRED_THREADS = 0x10
CODE_STACK = 0x12  # symbol, bytes: the stack of the kernel and what it calls
CODE_REGISTERS = 0x2F  # symbol, registers a thread


class Unreadable(Exception):
    """The file is not what the tool can read; the text says why and what to do."""


@dataclasses.dataclass
class Kernel:
    file: str  # the kernel file's name without .cu
    symbol: str
    arch: str  # sm_80, sm_90a
    compiler: str  # 13.0.88
    registers: int
    stack: int
    shared: int
    constant: int
    max_threads: int  # 0: no launch bounds
    code: bytes


@dataclasses.dataclass
class Section:
    name: str
    kind: int
    offset: int
    size: int
    link: int
    data: bytes


SHT_NOBITS = 8
SHT_SYMTAB = 2


def text_at(table, at):
    return table[at : table.index(b"\0", at)].decode()


def sections_of(elf, what):
    """The sections of a 64-bit little-endian ELF file, in order."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise Unreadable(f"{what}: is no 64-bit little-endian ELF file")
    (start,) = struct.unpack_from("<Q", elf, 0x28)
    entry, count, names_at = struct.unpack_from("<HHH", elf, 0x3A)
    if start == 0:
        return []
    if count == 0:  # more than 65279 sections: the count stands in the first one
        (count,) = struct.unpack_from("<Q", elf, start + 0x20)
    heads = [struct.unpack_from("<IIQQQQIIQQ", elf, start + i * entry) for i in range(count)]
    if names_at == 0xFFFF:
        names_at = heads[0][6]
    names = elf[heads[names_at][4] : heads[names_at][4] + heads[names_at][5]]
    return [
        Section(text_at(names, h[0]), h[1], h[4], h[5], h[6], b"" if h[1] == SHT_NOBITS else elf[h[4] : h[4] + h[5]])
        for h in heads
    ]


def members_of(path):
    """(name, bytes) of the object files in an archive, or the one object itself."""
    data = pathlib.Path(path).read_bytes()
    if data[:8] == b"!<thin>\n":
        raise Unreadable(f"{path}: is a thin archive; give its objects, or build it without T")
    if data[:8] != b"!<arch>\n":
        yield pathlib.Path(path).name, data
        return
    at, long_names = 8, b""
    while at + 60 <= len(data):
        raw, size = data[at : at + 16].decode().rstrip(), int(data[at + 48 : at + 58])
        body = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if raw == "//":
            long_names = body
        elif raw not in ("/", "/SYM64/"):
            if raw[0] == "/":
                start = int(raw[1:])
                raw = long_names[start : long_names.index(b"\n", start)].decode()
            yield raw.rstrip("/"), body


def cubins_of(obj, what):
    """The ELF images in a host object's .nv_fatbin, or the file itself where it is a cubin."""
    sections = sections_of(obj, what)
    if any(s.name.startswith(".nv.info") for s in sections):
        yield obj
        return
    for section in sections:
        if section.name == ".nv_fatbin":
            yield from images_of(section.data, what)


def unpacked(body, size, what):
    """Zstandard's frame in `body`, by the C library that Debian itself needs: Python has none before 3.14."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise Unreadable(f"{what}: its device code is compressed, and there is no libzstd.so.1 ({error}); install "
                         "libzstd1") from error
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(size)
    if library.ZSTD_decompress(out, size, body, len(body)) != size:
        raise Unreadable(f"{what}: its compressed device code is damaged")
    return out.raw


def images_of(fatbins, what):
    at = 0
    while at + 16 <= len(fatbins):
        magic, _, head, size = struct.unpack_from("<IHHQ", fatbins, at)
        if magic != FATBIN_MAGIC:
            if fatbins[at : at + 8].strip(b"\0"):
                raise Unreadable(f"{what}: an unknown fat binary at byte {at} of .nv_fatbin (magic {magic:#x})")
            at += 8  # padding
            continue
        image, end = at + head, at + head + size
        while image < end:
            kind, _, head, size = struct.unpack_from("<HHIQ", fatbins, image)
            (flags,) = struct.unpack_from("<Q", fatbins, image + 40)
            if kind == IMAGE_IS_ELF:
                body = fatbins[image + head : image + head + size]
                if flags & IMAGE_IS_ZSTD:
                    (packed,) = struct.unpack_from("<I", fatbins, image + 16)
                    (plain,) = struct.unpack_from("<Q", fatbins, image + 56)
                    body = unpacked(body[:packed], plain, what)
                if flags & IMAGE_IS_OLDER or body[:4] != b"\x7fELF":
                    raise Unreadable(f"{what}: its device code is compressed in an older form; build with nvcc "
                                     "--compress-mode=size")
                yield body
            image += head + size
        at = end


def attributes_of(data):
    at = 0
    while at + 4 <= len(data):
        form, code, value = struct.unpack_from("<BBH", data, at)
        at += 4
        if form == FORM_SIZED:
            yield code, data[at : at + value]
            at += value


def file_of(member):
    """conv of conv.cu.o, of conv.cu.cpp.o and of kernels.nn.conv.cu.o."""
    found = re.search(r"([^./]+)\.cu\b", member)
    return found[1] if found else member.split(".")[0]


def architecture_of(sections, elf):
    """sm_90a and the compiler's version, from the note that ptxas leaves; the flags know only the number."""
    note = next((s.data for s in sections if s.name == ".note.nv.tkinfo"), b"")
    arch = re.search(rb"-arch (sm_\w+)", note)
    version = re.search(rb"\bV(\d+\.\d+\.\d+)", note)
    (flags,) = struct.unpack_from("<I", elf, 0x30)
    return arch[1].decode() if arch else f"sm_{flags >> 8 & 0xFF}", version[1].decode() if version else "unknown"


def kernels_of_cubin(elf, file, what):
    sections = sections_of(elf, what)
    by_name = {s.name: s for s in sections}
    arch, compiler = architecture_of(sections, elf)
    symbols = []
    for table in (s for s in sections if s.kind == SHT_SYMTAB):
        names = sections[table.link].data
        symbols = [text_at(names, struct.unpack_from("<I", table.data, at)[0]) for at in range(0, table.size, 24)]
    registers, stack = {}, {}
    for code, payload in attributes_of(by_name[".nv.info"].data if ".nv.info" in by_name else b""):
        if code in (CODE_REGISTERS, CODE_STACK):
            symbol, value = struct.unpack("<II", payload)
            (registers if code == CODE_REGISTERS else stack)[symbols[symbol]] = value
    reserved = SYSTEM_SHARED if ".nv.shared.reserved.0" in by_name else 0
    for section in sections:
        symbol = section.name.removeprefix(".text.")
        if symbol == section.name or ".nv.info." + symbol not in by_name:
            continue  # no code, or a function that kernels call
        if symbol not in registers or symbol not in stack:
            raise Unreadable(f"{what}: {symbol} for {arch} has no register or stack attribute; is the toolkit newer "
                             "than tools/static_bars/cubin.py?")
        bounds = 0
        for code, payload in attributes_of(by_name[".nv.info." + symbol].data):
            if code in (CODE_MAX_THREADS, CODE_REQUIRED_THREADS) and len(payload) == 12:
                x, y, z = struct.unpack("<III", payload)
                bounds = x * y * z
        shared = by_name.get(".nv.shared." + symbol)
        constant = by_name.get(".nv.constant0." + symbol)
        yield Kernel(file, symbol, arch, compiler, registers[symbol], stack[symbol],
                     max(0, shared.size - reserved) if shared else 0, constant.size if constant else 0, bounds,
                     section.data)


def kernels_of(path):
    """Every kernel of every architecture in an archive, a fat object or a cubin."""
    for name, data in members_of(path):
        if data[:4] == b"\x7fELF":
            what = f"{path}({name})" if name != pathlib.Path(path).name else str(path)
            for elf in cubins_of(data, what):
                yield from kernels_of_cubin(elf, file_of(name), what)
