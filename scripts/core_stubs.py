#!/usr/bin/env python3
"""Prints the type stubs of the extension module _core, from the signatures that it has.

PYTHONPATH=python .venv/bin/python scripts/core_stubs.py > python/model_compression/_core.pyi
"""

import re
import subprocess
import sys

from model_compression import _core

HEADER = '''"""The native part of model_compression. Written by scripts/core_stubs.py."""

'''
PLAIN = [
    (r"typing\.SupportsInt \| typing\.SupportsIndex", "int"),
    (r"typing\.SupportsFloat \| typing\.SupportsIndex", "float"),
    (r"model_compression\._core\.", ""),
    (r"\bself: \w+", "self"),
    (r"\btyping_extensions\.CapsuleType", "object"),
    (r"<[^<>]* object at 0x[0-9a-f]+>", "..."),
]
IMPORTS = (("collections.abc", "typing"), ("numpy", "torch"))


def function(name: str, value) -> list[str]:
    """One `def` for each overload, with its documentation."""
    lines = []
    text = value.__doc__ or ""
    heads = re.findall(rf"^(?:\d+\. )?({name}\(.*\) -> .*)$", text, re.MULTILINE)
    notes = [part.strip() for part in re.split(rf"^(?:\d+\. )?{name}\(.*\) -> .*$", text, flags=re.MULTILINE)]
    notes = notes[-len(heads) :] if heads else []
    if not heads:
        raise SystemExit(f"core_stubs: {name} has no signature; bind it with pybind11's documentation on")
    for head, note in zip(heads, notes, strict=True):
        for pattern, plain in PLAIN:
            head = re.sub(pattern, plain, head)
        if len(heads) > 1:
            lines.append("@typing.overload")
        lines.append(f"def {head}:")
        lines.append(f'    """{note}"""' if note else "    ...")
    return lines


def class_(name: str, value: type) -> list[str]:
    lines = [f"class {name}:"]
    if value.__doc__:
        lines.append(f'    """{value.__doc__.strip()}"""')
    for member, inner in vars(value).items():
        if member == "__init__" and not (inner.__doc__ or "").startswith("__init__("):
            continue
        if member.startswith("_") and member not in ("__init__", "__len__", "__getitem__", "__call__"):
            continue
        if isinstance(inner, property):
            result = re.search(r"-> (.*)", inner.fget.__doc__ or "")
            lines += [
                "    @property",
                f"    def {member}(self) -> {result[1] if result else 'typing.Any'}: ...",
            ]
        else:
            lines += ["    " + line for line in function(member, inner)]
    return lines


def stubs() -> str:
    body = []
    for name, value in sorted(vars(_core).items(), key=lambda each: (not isinstance(each[1], type), each[0])):
        if name.startswith("_"):
            continue
        body += class_(name, value) if isinstance(value, type) else function(name, value)
        body.append("")
    text = "\n".join(body)
    imports = ""
    for group in IMPORTS:
        used = [f"import {name}\n" for name in group if re.search(rf"\b{re.escape(name)}\.", text)]
        imports += "".join(used) + "\n" * bool(used)
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "_core.pyi", "-"]
    return subprocess.run(
        ruff, input=HEADER + imports + text, check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    print(stubs(), end="")
