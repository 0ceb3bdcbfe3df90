"""What `prune` makes of a model file and says of it, and what `inspect` says of the result."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_BUILD_DIR", ROOT / "build")) / "model-compression"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def program(*arguments, status=0):
    command = [PROGRAM, *map(str, arguments)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert result.returncode == status, result.stdout + result.stderr
    return result


def prune(*arguments):
    return json.loads(program("prune", *arguments, "--seconds", 0, "--json").stdout)


def inspect(*arguments):
    return json.loads(program("inspect", *arguments, "--json").stdout)


GRAPH = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,8,6,6] x) => (float[n,4] y) {
    [stem] a = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "stem.weight")
    [norm] b = BatchNormalization (a, "norm.weight", "norm.bias", "norm.mean", "norm.var")
    [relu] c = Relu (b)
    [inner] d = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (c, "inner.weight")
    [act] e = Relu (d)
    [outer] f = Conv <kernel_shape = [1,1]> (e, "outer.weight")
    [sum] h = Add (f, c)
    [pool] i = GlobalAveragePool (h)
    [flat] j = Flatten (i)
    [head] y = Gemm <transB = 1> (j, "head.weight", "head.bias") }"""

SHAPES = {
    "stem.weight": (16, 8, 3, 3),
    "norm.weight": (16,),
    "norm.bias": (16,),
    "norm.mean": (16,),
    "norm.var": (16,),
    "inner.weight": (24, 16, 3, 3),
    "outer.weight": (16, 24, 1, 1),
    "head.weight": (4, 16),
    "head.bias": (4,),
}


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A residual network of two groups of channels: the stream (16) and the inner ones (24)."""
    model = onnx.parser.parse_model(GRAPH)
    random = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        values = random.normal(size=shape).astype(np.float32)
        values = np.abs(values) + 0.5 if name in ("norm.var", "norm.weight") else values / 4
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    path = tmp_path_factory.mktemp("prune") / "net.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def data(net):
    random = np.random.default_rng(1)
    x = random.normal(size=(64, 8, 6, 6)).astype(np.float32)
    labels = ort.InferenceSession(net).run(None, {"x": x})[0].argmax(1)
    path = net.parent / "data.npz"
    np.savez(path, x=x, labels=labels)
    return path


def weights(path):
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def macs_of(shapes, pixels=36):
    convolutions = sum(np.prod(shapes[name]) for name in ("stem.weight", "inner.weight", "outer.weight"))
    return pixels * convolutions + np.prod(shapes["head.weight"])


def test_magnitude_takes_the_smallest(net, tmp_path):
    document = prune(net, "-o", tmp_path / "out.onnx", "--method", "magnitude", "--sparsity", 0.75)
    assert document["schema"] == "model-compression/prune/1" and document["pattern"] == "unstructured"
    before, after = weights(net), weights(tmp_path / "out.onnx")
    for name in ("stem.weight", "inner.weight", "outer.weight", "head.weight"):
        kept = after[name] != 0
        assert (~kept).sum() == round(0.75 * kept.size)
        assert np.array_equal(after[name][kept], before[name][kept])
        assert np.abs(before[name][kept]).min() >= np.abs(before[name][~kept]).max()
    assert np.array_equal(before["norm.weight"], after["norm.weight"])
    dense, sparse = document["sizes"]
    assert (dense["what"], sparse["what"]) == ("dense", "sparse")
    assert sparse["sparsity"] == pytest.approx(0.75, abs=0.01) and sparse["macs"] == dense["macs"]
    assert sparse["compressed_bytes"] < 0.6 * dense["compressed_bytes"]
    assert not any(engine["faster"] for engine in document["engines"])


@pytest.mark.parametrize(
    ("structure", "pattern"), [("2:4", "2:4"), ("1:4", "1:4"), ("block:4x4", "block 4x4")]
)
def test_structures_are_found_again(net, tmp_path, structure, pattern):
    out = tmp_path / "out.onnx"
    sparsity = 0.75 if structure == "1:4" else 0.5
    document = prune(
        net, "-o", out, "--method", "magnitude", "--sparsity", sparsity, "--structure", structure
    )
    assert document["pattern"] == pattern
    layers = {layer["name"]: layer for layer in inspect(out)["layers"]}
    found = {layer["pattern"] for layer in layers.values()}
    assert found == {pattern} or all(name.startswith("block") for name in found | {pattern})
    assert layers["inner"]["sparsity"] == pytest.approx(sparsity)
    faster = {engine["engine"] for engine in document["engines"] if engine["faster"]}
    assert faster == ({"tensorrt"} if structure == "2:4" else set())
    if structure == "2:4":
        groups = (weights(out)["stem.weight"] != 0).reshape(16, 2, 4, 9)
        assert groups.sum(2).max() == 2


def test_ignored_layers_stay_dense(net, tmp_path):
    out = tmp_path / "out.onnx"
    document = prune(net, "-o", out, "--method", "magnitude", "--sparsity", 0.5, "--ignore", "head*")
    assert document["left"] == [{"name": "head.weight", "reason": "left alone as asked"}]
    assert (weights(out)["head.weight"] != 0).all()


@pytest.mark.parametrize(
    "method", ["channels_l1", "channels_l2", "channels_bn_scale", "channels_fpgm", "channels_lamp"]
)
def test_cut_to_half_the_macs(net, tmp_path, data, method):
    out = tmp_path / "out.onnx"
    document = prune(
        net, "-o", out, "--method", method, "--macs", 0.5, "--round-to", 1, "--data", data, "--batch", 16
    )
    dense, sparse, cut = document["sizes"]
    assert [size["what"] for size in document["sizes"]] == ["dense", "sparse", "cut"]
    assert dense["macs"] == macs_of(SHAPES)
    shapes = {name: array.shape for name, array in weights(out).items()}
    assert cut["macs"] == macs_of(shapes)
    assert 0.4 * dense["macs"] < cut["macs"] <= 0.5 * dense["macs"]
    assert shapes["stem.weight"][0] == shapes["inner.weight"][1] == shapes["head.weight"][1]
    assert shapes["inner.weight"][0] == shapes["outer.weight"][1]
    assert sparse["macs"] == dense["macs"] and sparse["sparsity"] > 0.2
    assert document["cut_error"] < 1e-5
    assert cut["bytes"] < 0.7 * dense["bytes"] and cut["compressed_bytes"] < sparse["compressed_bytes"]
    assert all(engine["faster"] for engine in document["engines"]) and document["pattern"] == "channels"
    assert document["metric"]["before"] == 1.0 and document["comparison"]["samples"] == 64
    y = ort.InferenceSession(out).run(None, {"x": np.zeros((2, 8, 6, 6), np.float32)})[0]
    assert y.shape == (2, 4)


def test_slimming_ranks_by_the_norms_scale(net, tmp_path):
    out = tmp_path / "out.onnx"
    arguments = ["--method", "channels_bn_scale", "--sparsity", 0.2, "--round-to", 1, "--ignore", "inner"]
    prune(net, "-o", out, *arguments)
    before, after = weights(net)["norm.weight"], weights(out)["norm.weight"]
    gone = 16 - len(after)
    assert gone == 8  # a fifth of all 40, all from the stream
    kept = np.sort(np.argsort(np.abs(before))[gone:])
    assert np.array_equal(after, before[kept])


@pytest.mark.parametrize(("option", "value"), [("--params", 0.5), ("--size", "0.6x"), ("--sparsity", 0.5)])
def test_other_targets(net, tmp_path, option, value):
    out = tmp_path / "out.onnx"
    multiple = 1 if option == "--sparsity" else 2
    document = prune(net, "-o", out, "--method", "channels_l2", option, value, "--round-to", multiple)
    dense, _, cut = document["sizes"]
    if option == "--params":
        assert 0.35 * dense["parameters"] < cut["parameters"] <= 0.5 * dense["parameters"]
    if option == "--size":
        assert cut["bytes"] <= 0.62 * dense["bytes"]
    if option == "--sparsity":
        kept = weights(out)["stem.weight"].shape[0] + weights(out)["inner.weight"].shape[0]
        assert kept == 20
    assert weights(out)["inner.weight"].shape[0] % multiple == 0


def test_gradients_of_samples(net, tmp_path, data):
    for method in ("channels_taylor", "channels_hessian"):
        out = tmp_path / f"{method}.onnx"
        document = prune(
            net,
            "-o",
            out,
            "--method",
            method,
            "--macs",
            0.7,
            "--round-to",
            1,
            "--data",
            data,
            "--samples",
            32,
        )
        assert document["sizes"][-1]["macs"] <= 0.7 * document["sizes"][0]["macs"]
        assert document["comparison"]["outputs"][0]["snr_db"] > 0


def test_inspect_shows_the_groups(net):
    document = inspect(net)
    groups = {group["name"]: group for group in document["groups"] if not group["obstacle"]}
    assert {(name, group["channels"]) for name, group in groups.items()} == {
        ("stem.weight", 16),
        ("inner.weight", 24),
    }
    inner = groups["inner.weight"]
    assert inner["parameters_saved"] == 16 * 9 + 16
    assert inner["macs_saved"] == 36 * (16 * 9 + 16)
    assert {"inner.weight", "outer.weight"} <= set(inner["parameters"])
    stream = groups["stem.weight"]
    assert stream["parameters_saved"] == 8 * 9 + 2 + 24 * 9 + 24 + 4
    text = program("inspect", net).stdout
    assert "Channels that can only be cut together" in text


def test_a_speed_that_is_measured(net, tmp_path):
    out = tmp_path / "out.onnx"
    arguments = ["--method", "channels_l1", "--speedup", 1.01, "--round-to", 1, "--latency-batch", 64]
    result = program("prune", net, "-o", out, *arguments, "--seconds", 0.4, "--threads", 1, "--json")
    document = json.loads(result.stdout)
    assert document["latency"]["batch"] == 64 and document["latency"]["after_ms"] > 0
    assert document["sizes"][-1]["macs"] < document["sizes"][0]["macs"]


BLOCK = 36 * (16 * 24 * 9 + 24 * 16)


def test_a_block_that_goes(net, data, tmp_path):
    """What is left computes what the network does where the block's branch gives zeros."""
    out = tmp_path / "out.onnx"
    document = prune(net, "-o", out, "--method", "blocks_output", "--macs", 0.6, "--data", data)
    assert [block["name"] for block in document["blocks"]] == ["sum"]
    assert document["pattern"] == "blocks" and document["round_to"] is None
    assert document["sizes"][0]["macs"] - document["sizes"][-1]["macs"] == BLOCK
    model = onnx.load(net)
    for tensor in model.graph.initializer:
        if tensor.name == "outer.weight":
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(np.zeros(SHAPES["outer.weight"], np.float32), tensor.name)
            )
    onnx.save(model, tmp_path / "zeros.onnx")
    x = {"x": np.load(data)["x"]}
    left, zeros = (ort.InferenceSession(path).run(None, x)[0] for path in (out, tmp_path / "zeros.onnx"))
    np.testing.assert_allclose(left, zeros, atol=1e-5)
    whole = ort.InferenceSession(net).run(None, x)[0]
    score = np.square(left - whole).sum() / np.square(whole).sum()
    assert document["blocks"][0]["score"] == pytest.approx(score, rel=1e-4)
    text = program(
        "prune", net, "-o", out, "--method", "blocks_cosine", "--sparsity", 0.9, "--data", data
    ).stdout
    assert "block gone" in text


def test_blocks_then_channels(net, data, tmp_path):
    out = tmp_path / "out.onnx"
    arguments = ["--method", "channels_l2", "--blocks", "blocks_cosine", "--data", data, "--round-to", 1]
    document = prune(net, "-o", out, *arguments, "--macs", 0.15)
    assert [block["name"] for block in document["blocks"]] == ["sum"]
    assert document["pattern"] == "channels" and document["round_to"] == 1
    assert document["sizes"][-1]["macs"] <= 0.15 * document["sizes"][0]["macs"]
    assert document["cut_error"] < 1e-4


def test_blocks_may_be_enough(net, data, tmp_path):
    """Channels stay where blocks alone reach the target."""
    out = tmp_path / "out.onnx"
    arguments = ["--method", "channels_l2", "--blocks", "blocks_cosine", "--data", data]
    document = prune(net, "-o", out, *arguments, "--macs", 0.25)
    assert [size["what"] for size in document["sizes"]] == ["dense", "cut"]
    assert document["sizes"][0]["macs"] - document["sizes"][-1]["macs"] == BLOCK
    assert document["pattern"] == "blocks" and document["round_to"] is None
    assert document["weights"] == [] and document["cut_error"] is None


def test_widths_as_the_engine_likes_them(net, tmp_path):
    document = prune(net, "-o", tmp_path / "out.onnx", "--method", "channels_l1", "--macs", 0.6)
    multiple = document["round_to"]
    assert multiple in (1, 2, 4, 8, 16)
    assert weights(tmp_path / "out.onnx")["inner.weight"].shape[0] % multiple == 0
    assert document["sizes"][-1]["macs"] <= 0.6 * document["sizes"][0]["macs"]


def test_inspect_shows_the_blocks(net):
    (block,) = inspect(net)["blocks"]
    assert block["name"] == "sum" and set(block["nodes"]) == {"inner", "act", "outer"}
    assert block["parameters_saved"] == 16 * 24 * 9 + 24 * 16
    assert block["macs_saved"] == BLOCK
    assert "block that can go" in program("inspect", net).stdout


def test_a_stage_as_fast_as_is_asked_for(net, data, tmp_path):
    """Blocks, channels and the clock together."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
        name: fast
        data: {{format: npz, train: {data}, test: {data}}}
        model: {{onnx: {net}}}
        stages:
          - name: pruned
            epochs: 2
            batch_size: 8
            optimizer: {{sgd: {{lr: 0.01}}}}
            prune: {{method: channels_l2, blocks: blocks_output, speedup: 1.3, latency_batch: 64, cuts: 2, round_to: 4}}
        deploy: {{engines: [onnxruntime], seconds: 0}}
        """
    )
    folder = tmp_path / "run"
    results = json.loads(program("run", recipe, "--output", folder, "--json").stdout)
    models = {model["name"]: model for model in results["models"]}
    assert models["pruned"]["macs"] <= models["original"]["macs"] - BLOCK
    assert not list(folder.rglob("*.timing"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--method", "magnitude", "--sparsity", 1.0], "must be in [0, 1), is 1"),
        (["--method", "magnitude", "--sparsity", -0.1], "must be in [0, 1), is -0.1"),
        (["--method", "magnitude"], "give one target"),
        (["--method", "magnitude", "--sparsity", 0.5, "--macs", 0.5], "give one target"),
        (["--method", "magnitude", "--macs", 0.5], "for methods that cut channels"),
        (["--method", "magnitud", "--sparsity", 0.5], "did you mean 'magnitude'"),
        (["--method", "channels_l4", "--macs", 0.5], "did you mean 'channels_l"),
        (["--method", "channels_l1", "--macs", 0.0], "(0, 1], not 0"),
        (["--method", "channels_l1", "--macs", 0.001], "cannot be reached"),
        (["--method", "channels_l1", "--speedup", 0.5], "above 1"),
        (["--method", "channels_l1", "--sparsity", 0.99], "cannot go: only"),
        (["--method", "channels_l1", "--macs", 0.5, "--ignore", "stam"], "did you mean 'st"),
        (["--method", "channels_l1", "--macs", 0.5, "--structure", "2:4"], "--structure is for masks"),
        (["--method", "channels_l1", "--macs", 0.5, "--limit-layer", "stem"], "PATTERN=PART"),
        (["--method", "channels_l1", "--size", "much"], "size budget 'much'"),
        (["--method", "magnitude", "--sparsity", 0.5, "--ignore", "nothing*"], "no parameter matches"),
        (["--method", "magnitude", "--sparsity", 0.5, "--structure", "4:2"], "fewer than 2 of 2"),
        (["--method", "magnitude", "--sparsity", 0.5, "--structure", "cube"], "'cube' is no structure"),
        (["--method", "magnitude", "--sparsity", 0.5, "--structure", "2:64"], "no weight can be pruned so"),
        (["--method", "sparsegpt", "--sparsity", 0.5], "give --data"),
        (["--method", "channels_taylor", "--macs", 0.5], "give --data"),
        (["--method", "magnitude", "--sparsity", 0.5, "--metric", "top1"], "without --data"),
        (["--method", "blocks_output", "--sparsity", 0.5], "give --data"),
        (["--method", "channels_l1", "--macs", 0.5, "--blocks", "blocks_output"], "give --data"),
        (["--method", "channels_l1", "--sparsity", 0.5, "--blocks", "blocks_output"], "how many blocks"),
        (["--method", "magnitude", "--sparsity", 0.5, "--blocks", "blocks_output"], "cut channels, not"),
        (
            ["--method", "magnitude", "--sparsity", 0.5, "--engine", "onnxruntim"],
            "did you mean 'onnxruntime'",
        ),
    ],
)
def test_bad_input(net, tmp_path, arguments, complaint):
    message = program("prune", net, "-o", tmp_path / "out.onnx", *arguments, status=2).stderr
    assert complaint in message, message
    assert not (tmp_path / "out.onnx").exists()


def test_models_that_cannot_be_pruned(net, tmp_path):
    sparse = tmp_path / "sparse.onnx"
    prune(net, "-o", sparse, "--method", "magnitude", "--sparsity", 0.8)
    again = ["--method", "magnitude", "--sparsity", 0.5]
    assert "pruned already" in program("prune", sparse, "-o", tmp_path / "b.onnx", *again, status=2).stderr
    assert "overwrite" in program("prune", net, "-o", net, *again, status=2).stderr
    model = onnx.load(net)
    values = onnx.numpy_helper.to_array(model.graph.initializer[5]).copy()
    values[3] = np.nan
    model.graph.initializer[5].CopyFrom(onnx.numpy_helper.from_array(values, "inner.weight"))
    broken = tmp_path / "nan.onnx"
    onnx.save(model, broken)
    for arguments in (again, ["--method", "channels_l1", "--macs", 0.5]):
        message = program("prune", broken, "-o", tmp_path / "b.onnx", *arguments, status=2).stderr
        assert "NaN" in message and "inner.weight" in message
    assert not (tmp_path / "b.onnx").exists()


def test_a_stage_that_cuts(net, data, tmp_path):
    """Channels go while training, quantization follows, and what is exported is the smaller network."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
        name: cut
        data: {{format: npz, train: {data}, test: {data}}}
        model: {{onnx: {net}}}
        stages:
          - name: pruned
            epochs: 4
            batch_size: 8
            optimizer: {{sgd: {{lr: 0.01}}}}
            prune: {{method: channels_taylor, macs: 0.5, cuts: 2, round_to: 1, slimming: 0.0001, group_lasso: 0.0001}}
          - {{name: int8, epochs: 1, batch_size: 8, optimizer: {{sgd: {{lr: 0.001}}}}, quantize: {{}}}}
        deploy: {{engines: [onnxruntime, torch], seconds: 0}}
        """
    )
    folder = tmp_path / "run"
    results = json.loads(program("run", recipe, "--output", folder, "--json").stdout)
    models = {model["name"]: model for model in results["models"]}
    assert models["original"]["macs"] == macs_of(SHAPES)
    assert 0.35 * macs_of(SHAPES) < models["pruned"]["macs"] <= 0.5 * macs_of(SHAPES)
    assert models["int8"]["macs"] == models["pruned"]["macs"]
    assert models["pruned"]["parameters"] < models["original"]["parameters"]
    stage = {t.name: t.dims for t in onnx.load(folder / "stages/pruned.onnx").graph.initializer}
    assert stage["stem.weight"][0] == stage["norm.mean"][0] == stage["head.weight"][1]
    values = {(row["model"], row["engine"]): row["value"] for row in results["evaluations"]}
    assert values[("pruned", "onnxruntime")] == values[("pruned", "torch")]
    assert "Exported models" in program("report", folder).stdout


def test_recipes_say_what_does_not_fit(net, data, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    for keys, complaint in [
        ("macs: 0.5, parameters: 0.5", "one of macs, parameters, channel_ratio and speedup"),
        ("macs: 1.5", "macs"),
        ("begin: 0.8, end: 0.2", "before begin"),
        ("speedup: 2, engine: onnxruntim", "did you mean 'onnxruntime'"),
        ("speedup: 1", "above 1"),
        ("block_ratio: 0.5", "with blocks"),
        ("channel_ratio: 0.5, blocks: blocks_output", "block_ratio too"),
    ]:
        recipe.write_text(
            f"name: cut\ndata: {{format: npz, train: {data}, test: {data}}}\nmodel: {{onnx: {net}}}\n"
            f"stages: [{{name: a, prune: {{method: channels_l1, {keys}}}}}]\n"
        )
        message = program("run", recipe, "--check", status=2).stderr
        assert complaint in message, message
