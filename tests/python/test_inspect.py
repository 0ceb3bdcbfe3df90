"""What `inspect` says of shapes and costs, and what every command says of operators that it does not have."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_BUILD_DIR", ROOT / "build")) / "model-compression"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def program(*arguments, status=0):
    command = [PROGRAM, *map(str, arguments)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == status, result.stdout + result.stderr
    return result


def inspect(*arguments):
    return json.loads(program("inspect", *arguments, "--json").stdout)


def write(path, text, **initializers):
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17, "other" : 1]> ' + text)
    for name, array in initializers.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def image_model(tmp_path_factory):
    """A convolution of any image, flattened by arithmetic on its shape."""
    return write(
        tmp_path_factory.mktemp("model") / "image.onnx",
        """g (float[batch,3,height,width] image) => (float[batch,n] y) {
            c = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (image, w, b)
            s = Shape (c)
            zero = Constant <value = int64[1] {0}> ()
            rows = Gather (s, zero)
            minus = Constant <value = int64[1] {-1}> ()
            flat = Concat <axis = 0> (rows, minus)
            y = Reshape (c, flat) }""",
        w=np.ones((4, 3, 3, 3), np.float32),
        b=np.ones(4, np.float32),
    )


def test_costs_by_node_for_given_sizes(image_model):
    document = inspect(image_model, "--shape", "image=2,3,10,20")
    costs = {cost["node"]: cost for cost in document["costs"]}
    pixels = 2 * 10 * 20
    assert costs["c"] == {
        "node": "c",
        "op": "Conv",
        "macs": pixels * 4 * 3 * 9,
        "parameters": 4 * 3 * 9 + 4,
        "activation_bytes": pixels * 4 * 4,
    }
    assert costs["y"]["op"] == "Reshape" and costs["y"]["activation_bytes"] == pixels * 4 * 4
    assert document["macs"] == pixels * 4 * 3 * 9
    assert document["parameters"] == 4 * 3 * 9 + 4
    assert document["activation_bytes"] == sum(cost["activation_bytes"] for cost in document["costs"])
    assert document["layers"][0]["activation_bytes"] == pixels * 4 * 4
    assert not [note for note in document["notes"] if "open" in note]


def test_open_sizes_are_named(image_model):
    document = inspect(image_model)
    assert document["inputs"] == ["image float[batch,3,height,width]"]
    note = next(note for note in document["notes"] if "open" in note)
    assert "height, width" in note and "--shape" in note and "batch" not in note
    assert document["macs"] == 4 * 3 * 9


def test_the_table_of_nodes(image_model):
    text = program("inspect", image_model, "--shape", "image=1,3,8,8", "--nodes").stdout
    table = text[text.index("\nnode ") :].splitlines()[1:]
    assert table[0].split() == ["node", "operator", "parameters", "MACs", "output"]
    assert next(line for line in table if line.startswith("c ")).split()[1] == "Conv"
    assert "activations" in text


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ("image", "expected INPUT=SIZES"),
        ("image=1,3,x,8", "'x' is no size"),
        ("image=1,3,-8,8", "'-8' is no size"),
        ("image=1,3,8", "another number of dims"),
        ("imag=1,3,8,8", "did you mean 'image'"),
    ],
)
def test_shapes_that_do_not_fit(image_model, shape, complaint):
    assert complaint in program("inspect", image_model, "--shape", shape, status=2).stderr


@pytest.fixture(scope="module")
def unsupported(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("model") / "unsupported.onnx",
        """g (float[n,4] x) => (float[n,4] y) {
            [first] a = other.Strange (x)
            [choice] y = If (flag) <
              then_branch = t () => (float[n,4] p) { [second] p = Missing (a) },
              else_branch = e () => (float[n,4] q) { [third] q = other.Strange (a) }
            > }""",
        flag=np.array(True),
    )


def test_every_command_lists_all_unsupported_operators(unsupported, tmp_path):
    document = inspect(unsupported)
    assert len(document["unsupported"]) == 3
    np.savez(tmp_path / "data.npz", x=np.zeros((4, 4), np.float32), labels=np.zeros(4, np.int64))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: a\ndata: {{format: npz, train: {tmp_path}/data.npz, test: {tmp_path}/data.npz}}\n"
        f"model: {{onnx: {unsupported}}}\nstages: [{{name: train}}]\n"
    )
    data = ["--data", tmp_path / "data.npz"]
    commands = [
        ["run", recipe, "--output", tmp_path / "out"],
        ["run", recipe, "--output", tmp_path / "out", "--check"],
        ["evaluate", unsupported, *data, "--engine", "torch"],
        ["compare", unsupported, unsupported, *data, "--engine", "torch"],
    ]
    for command in commands:
        message = program(*command, status=2).stderr
        for name in ("first", "second", "third", "Strange", "Missing"):
            assert name in message, (command, message)
    text = program("benchmark", unsupported, "--engine", "torch", "--seconds", "0.01", "--json", status=0)
    skipped = json.loads(text.stdout)["rows"][0]["skipped"]
    assert all(name in skipped for name in ("first", "second", "third"))
