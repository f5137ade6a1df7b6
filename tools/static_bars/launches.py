# SPDX-License-Identifier: Apache-2.0
"""Block size and dynamic shared memory of each kernel, read from the launchers' text.

A cubin knows neither. In the sources they are arguments: launch<kernel<...>>(name, grid, block, shared, stream, ...),
kernel<<<grid, block, shared, stream>>>, or for_each<body>, whose block is the dialect's kBlock. An argument is a
number, a constant, block_threads(x), or an expression that tools/static_bars/static_bars.json gives a value, with its reason.
"""
import fnmatch
import re

from static_bars.names import ROUND, end_of_bracket, split_arguments

LAUNCH = re.compile(r"\b(launch|for_each)<")
CHEVRONS = re.compile(r"\b(\w+)(<[\w\s,:]*>)?<<<")
FOR_EACH_BLOCK = ("kernels/dialect/cuda/dialect.h", "kBlock")


class Launches:
    def __init__(self, root, config):
        self.config = config
        self.texts = {}
        for path in sorted(root.glob("kernels/**/*")):
            parts = path.relative_to(root).parts
            if path.suffix in (".cu", ".cuh", ".h") and not {"cpu", "sim", "host"} & set(parts[:-1]):
                self.texts["/".join(parts)] = re.sub(r"//[^\n]*", "", path.read_text())
        self.found = {}  # base name: [(block, shared)], None where not understood
        for path, text in self.texts.items():
            if path.endswith((".cu", ".cuh")):
                self.read(path, text)

    def read(self, path, text):
        for match in LAUNCH.finditer(text):
            end = end_of_bracket(text, match.end() - 1)
            kernel = re.match(r"\w+", split_arguments(text[match.end() : end - 1])[0])
            if not kernel or text[end : end + 1] != "(":
                continue
            if match[1] == "for_each":
                self.found.setdefault(kernel[0], []).append((self.value(*FOR_EACH_BLOCK), 0))
                continue
            arguments = split_arguments(text[end + 1 : end_of_bracket(text, end, ROUND) - 1], ROUND)
            if len(arguments) >= 5:
                self.add(kernel[0], path, match.start(), arguments[2], arguments[3])
        for match in CHEVRONS.finditer(text):
            arguments = split_arguments(text[match.end() : text.index(">>>", match.end())], ROUND)
            if len(arguments) >= 2:
                self.add(match[1], path, match.start(), arguments[1], arguments[2] if len(arguments) > 2 else "0")

    def add(self, kernel, path, at, block, shared):
        self.found.setdefault(kernel, []).append((self.value(path, block, at), self.value(path, shared, at)))

    def value(self, path, expression, before=None, depth=0):
        """The integer of an expression; a name means its nearest definition above, else the only one elsewhere."""
        expression = expression.strip()
        if expression.isdecimal():
            return int(expression)
        call = re.fullmatch(r"(\w+)\((.*)\)", expression, re.DOTALL)
        if call and call[1] == "block_threads":
            return self.value(path, call[2], before, depth + 1)
        if call and call[1] in self.config["expressions"]:
            return self.config["expressions"][call[1]]["value"]
        if not re.fullmatch(r"[A-Za-z]\w*", expression) or depth > 8:
            return None
        definition = re.compile(rf"\bconstexpr (?:int|size_t|unsigned) {expression} = ([^;]+);")
        here = [m for m in definition.finditer(self.texts[path]) if before is None or m.start() < before]
        if here:
            return self.value(path, here[-1][1], here[-1].start(), depth + 1)
        values = {self.value(other, m[1], m.start(), depth + 1)
                  for other, text in self.texts.items() if other != path and other.endswith((".h", ".cuh"))
                  for m in definition.finditer(text)}
        return values.pop() if len(values) == 1 else None

    def of(self, key, max_threads):
        """(threads, dynamic shared bytes) of the kernel's largest launch; None where the sources do not tell."""
        pairs = self.found.get(re.match(r"\w*", key)[0], [])
        blocks = [block for block, _ in pairs]
        shared = [bytes_ for _, bytes_ in pairs]
        given = next((v for pattern, v in self.config["launches"].items() if fnmatch.fnmatchcase(key, pattern)), {})
        block = given.get("block", max(blocks) if blocks and None not in blocks else max_threads or None)
        dynamic = given.get("dynamic_shared", max(shared) if shared and None not in shared else None)
        return block, dynamic
