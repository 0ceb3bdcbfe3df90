"""The layering and the house rules of mc/ that a compiler does not see."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)
PRINTS = re.compile(r"\bstd::(cout|cerr|clog)\b|\b(std::|v|f|vf)?(printf|puts)\s*\(|\bfmt::print\b")
LIBTORCH = ("torch/", "ATen/", "c10/")


def parse_rooms(cmake):
    """{room: (rooms it names, whether it sees LibTorch)} in the order of CMakeLists.txt."""
    rooms = {}
    for kind, words in re.findall(r"^mc_(room|program)\(([^)]*)\)", cmake, re.MULTILINE):
        words = words.split()
        name = words[0] if kind == "room" else words[1]
        named = []
        if "ROOMS" in words:
            for word in words[words.index("ROOMS") + 1 :]:
                if word in ("TORCH", "LINK"):
                    break
                named.append(word)
        rooms[name] = (named, "TORCH" in words)
    return rooms


def closure(rooms, name):
    """The rooms that `name` may include, itself among them."""
    allowed, waiting = set(), [name]
    while waiting:
        room = waiting.pop()
        if room not in allowed:
            allowed.add(room)
            waiting.extend(rooms[room][0])
    return allowed


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".h", ".cpp", ".cu", ".cuh"))


def order_faults(rooms):
    """Rooms named before they stand in the list: the order would not be a layering."""
    seen, faults = set(), []
    for name, (named, _) in rooms.items():
        faults += [
            f"{name} names {other}, which does not stand above it" for other in named if other not in seen
        ]
        seen.add(name)
    return faults


def include_faults(root, rooms):
    faults = []
    for path in sources(root / "mc"):
        where = path.relative_to(root)
        room = where.parts[1] if len(where.parts) > 2 else None
        if room is None:
            continue  # mc/torch_pch.h belongs to no room
        if room not in rooms:
            faults.append(f"{where}: the folder is not a room of CMakeLists.txt")
            continue
        allowed = closure(rooms, room)
        sees_torch = any(rooms[name][1] for name in allowed)
        for include in INCLUDE.findall(path.read_text()):
            target = re.match(r"mc/(\w+)/", include)
            if target and target[1] not in allowed:
                faults.append(f"{where}: includes {include}, but {room} does not stand on {target[1]}")
            if include.startswith(LIBTORCH) and not sees_torch:
                faults.append(f"{where}: includes {include}, but {room} does not see LibTorch")
            if include == "torch/torch.h":
                faults.append(f"{where}: includes torch/torch.h; include the narrow header")
    return faults


def length_faults(root):
    lengths = {path: len(path.read_text().splitlines()) for path in sources(root / "mc")}
    return [
        f"{p.relative_to(root)}: {n} lines, at most {MAX_LINES}" for p, n in lengths.items() if n > MAX_LINES
    ]


def printing_faults(root):
    faults = []
    for path in sources(root / "mc"):
        if path.is_relative_to(root / "mc" / "cli"):
            continue
        for match in PRINTS.finditer(without_comments(path.read_text())):
            faults.append(
                f"{path.relative_to(root)}: {match[0]}: only mc/cli prints; use mc::info or Progress"
            )
    return faults


def pragma_faults(root):
    headers = [path for path in sources(root / "mc") if path.suffix in (".h", ".cuh")]
    return [f"{p.relative_to(root)}: no #pragma once" for p in headers if "#pragma once" not in p.read_text()]


def assertion_faults(root):
    """Test programs that cannot fail."""
    faults = []
    for path in sorted((root / "tests").rglob("*_test.cpp")):
        if not re.search(r"\b(EXPECT|ASSERT)_\w+\s*\(", without_comments(path.read_text())):
            faults.append(f"{path.relative_to(root)}: asserts nothing")
    return faults


@pytest.fixture(scope="module")
def rooms():
    return parse_rooms((ROOT / "CMakeLists.txt").read_text())


def test_rooms_are_parsed(rooms):
    folders = {path.name for path in (ROOT / "mc").iterdir() if path.is_dir() and sources(path)}
    assert folders <= set(rooms)
    assert closure(rooms, "onnx") == {"onnx", "graph", "base"}
    assert rooms["base"] == ([], False)


def test_the_list_of_rooms_is_a_layering(rooms):
    assert order_faults(rooms) == []


def test_rooms_include_only_rooms_they_stand_on(rooms):
    assert include_faults(ROOT, rooms) == []


def test_files_are_short():
    assert length_faults(ROOT) == []


def test_only_the_command_line_prints():
    assert printing_faults(ROOT) == []


def test_headers_are_guarded():
    assert pragma_faults(ROOT) == []


def test_every_test_file_asserts():
    assert assertion_faults(ROOT) == []


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_the_checks_find_faults(tmp_path):
    bad_rooms = parse_rooms("mc_room(low LINK fmt::fmt)\nmc_room(side)\nmc_room(high ROOMS low TORCH)\n")
    write(tmp_path, "mc/low/a.cpp", '#include "mc/high/b.h"\n#include <ATen/ATen.h>\n')
    write(tmp_path, "mc/high/b.h", '#pragma once\n#include "mc/side/c.h"\n#include "mc/low/a.h"\n')
    write(tmp_path, "mc/lost/d.cpp", "")
    faults = include_faults(tmp_path, bad_rooms)
    assert len(faults) == 4
    assert any("low does not stand on high" in fault for fault in faults)
    assert any("low does not see LibTorch" in fault for fault in faults)
    assert any("high does not stand on side" in fault for fault in faults)
    assert any("not a room" in fault for fault in faults)
    assert order_faults(parse_rooms("mc_room(a ROOMS b)\nmc_room(b)\n")) != []

    write(tmp_path, "mc/low/long.cpp", "\n" * (MAX_LINES + 1))
    assert len(length_faults(tmp_path)) == 1

    write(tmp_path, "mc/low/loud.cpp", 'std::cout << 1;\nprintf("x");\n// std::cerr\nsnprintf(b, 1, "x");\n')
    write(tmp_path, "mc/cli/main.cpp", "std::cout << 1;\n")
    assert len(printing_faults(tmp_path)) == 2

    write(tmp_path, "mc/low/bare.h", "int x;\n")
    assert len(pragma_faults(tmp_path)) == 1

    write(tmp_path, "tests/low/a_test.cpp", "TEST(A, B) {}  // EXPECT_EQ(1, 1)\n")
    write(tmp_path, "tests/low/b_test.cpp", "TEST(A, B) { EXPECT_EQ(1, 1); }\n")
    assert assertion_faults(tmp_path) == ["tests/low/a_test.cpp: asserts nothing"]
