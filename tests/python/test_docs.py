"""The pages about recipes and commands name everything that the built program knows."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_BUILD_DIR", ROOT / "build")) / "model-compression"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def output(*arguments):
    return subprocess.run(
        [PROGRAM, *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def keys_and_choices(schema):
    """All property names and allowed words of a JSON Schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (word for word in schema.get("enum", []) if isinstance(word, str))
        for part in schema.values():
            yield from keys_and_choices(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keys_and_choices(part)


def test_recipe_page_names_every_key_and_choice():
    words = set(keys_and_choices(json.loads(output("init", "--schema"))))
    assert {"stages", "target_sparsity", "cosine", "onnxruntime"} <= words
    page = (ROOT / "docs" / "recipe.md").read_text()
    named = {word for code in re.findall(r"`([^`\n]+)`", page) for word in re.findall(r"\w+", code)}
    assert words <= named, sorted(words - named)


def test_command_page_names_every_command_and_option():
    page = (ROOT / "docs" / "cli.md").read_text()
    commands = re.findall(r"^  (\w+) ", output("--help").split("Subcommands:")[1], re.MULTILINE)
    assert {"run", "report"} <= set(commands)
    for command in commands:
        section = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
        options = set(re.findall(r"^  (--[\w-]+)", output(command, "--help"), re.MULTILINE))
        missing = [option for option in sorted(options) if option not in section]
        assert not missing, (command, missing)
