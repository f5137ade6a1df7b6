# SPDX-License-Identifier: Apache-2.0
"""Short, stable names of kernels: the function and its template arguments, without namespaces and parameters.

  void ito::gemm_kernel<float, ito::bf16, true>(float*, ...)                     gemm_kernel<float, bf16, true>
  void ito::dialect::for_each_kernel<&(void ito::silu<float>(long, ...)), ...>   silu<float>

An anonymous namespace's mangled name holds hashes of the file; the demangler leaves them out.
"""
import re
import subprocess

OPEN, CLOSE = "<([{", ">)]}"
ROUND = "([{"  # in a source, where < may be a comparison
FOR_EACH = "for_each_kernel<"


def demangle(symbols):
    """{symbol: C++ name}; a symbol that c++filt does not know stays, less the hashes of anonymous namespaces."""
    symbols = sorted(set(symbols))
    if not symbols:
        return {}
    plain = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True).stdout
    return {s: re.sub(r"_GLOBAL__N__[0-9a-f]{8}_\d+_\w+?_cu_[0-9a-f]{8}", "_GLOBAL__N_", p)
            for s, p in zip(symbols, plain.splitlines(), strict=True)}


def end_of_bracket(text, at, opening=OPEN):
    """The index behind the bracket that opens at `at`."""
    closing = CLOSE[-len(opening) :]
    depth = 0
    for i in range(at, len(text)):
        if text[i] in opening:
            depth += 1
        elif text[i] in closing and not text.endswith("->", 0, i + 1):
            depth -= 1
            if depth == 0:
                return i + 1
    return len(text)


def split_arguments(text, opening=OPEN):
    """Splits at the commas that no bracket encloses."""
    parts, start, i = [], 0, 0
    while i < len(text):
        if text[i] in opening:
            i = end_of_bracket(text, i, opening)
            continue
        if text[i] == ",":
            parts.append(text[start:i].strip())
            start = i + 1
        i += 1
    return parts + [text[start:].strip()]


def without_parameters(name):
    """Drops the return type and the parameter list of a demangled function."""
    start, i = 0, 0
    while i < len(name):
        if name[i] == "(" and not name.startswith("(anonymous namespace)", i):
            return name[start:i]
        if name.startswith("(anonymous namespace)", i):
            i += len("(anonymous namespace)")
        elif name[i] in OPEN:
            i = end_of_bracket(name, i)
        else:
            if name[i] == " ":
                start = i + 1
            i += 1
    return name[start:]


def short_name(name):
    name = without_parameters(name)
    at = name.find(FOR_EACH)
    if at >= 0:
        body = split_arguments(name[at + len(FOR_EACH) : -1])[0].removeprefix("&")
        if body.startswith("(") and not body.startswith("(anonymous namespace)"):
            body = body[1:-1]
        name = without_parameters(body)
    return re.sub(r"(\w+|\(anonymous namespace\))::", "", name)


def keys_of(kernels):
    """{(file, symbol): key}: short where that is unique in the file, else with the whole name behind it."""
    names = demangle(k.symbol for k in kernels)
    by_key = {}
    for kernel in kernels:
        by_key.setdefault((kernel.file, short_name(names[kernel.symbol])), set()).add(kernel.symbol)
    keys = {}
    for (file, key), symbols in by_key.items():
        for symbol in symbols:
            whole = names[symbol].replace("(anonymous namespace)::", "")
            keys[file, symbol] = key if len(symbols) == 1 else f"{key} [{whole}]"
    return keys
