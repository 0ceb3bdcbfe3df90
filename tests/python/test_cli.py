"""The built program, driven as a person drives it."""

import gzip
import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_PROGRAM", ROOT / "build" / "model-compression"))
COMMANDS = ["run", "init", "inspect", "evaluate", "quantize", "benchmark", "compare", "report"]
QUANTIZE = ["quantize", "--no-latency"]  # what is faster depends on the machine and the moment

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def program(*arguments, check=True, **options):
    result = subprocess.run(
        [PROGRAM, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=300, **options
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


def failure(*arguments, status=2, **options):
    """What the program says on stderr when it ends with `status`."""
    result = program(*arguments, check=False, **options)
    assert result.returncode == status, result.stdout + result.stderr
    assert result.stdout == ""
    assert "error: " in result.stderr
    return result.stderr


def document(*arguments, **options):
    return json.loads(program(*arguments, "--json", **options).stdout)


def write_idx(folder, prefix, count, seed):
    """Images of 8 x 8 with one bright row, whose number is the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 8, count).astype(np.uint8)
    images = random.integers(60, 120, (count, 8, 8)).astype(np.uint8)
    images[np.arange(count), labels] += 120
    with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">4i", 0x0803, count, 8, 8) + images.tobytes())
    with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz", "wb") as file:
        file.write(struct.pack(">2i", 0x0801, count) + labels.tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_idx(folder, "train", 512, 1)
    write_idx(folder, "t10k", 128, 2)
    return folder


RECIPE = """
name: tiny
threads: 1
data: {{root: {data}}}
model: {model}
stages:
  - {{name: train, epochs: {epochs}, batch_size: 32, optimizer: {{sgd: {{lr: 0.05}}}}}}
  - {{name: quantize, batch_size: 32, optimizer: {{sgd: {{lr: 0.01}}}}, quantize: {{}}}}
deploy: {{engines: [torch], batch_sizes: [1], seconds: 0.02}}
"""


def write_recipe(folder, data, model="{builtin: mlp, width: 0.25}", epochs=2):
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(data=data, model=model, epochs=epochs))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """A finished run: its folder and what `run --json` printed."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder, data)
    return folder / "out", document("run", recipe, "--output", folder / "out")


def test_help_names_every_command():
    text = program("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in text
        help_text = program(command, "--help").stdout
        assert "Example" in help_text and "model-compression " + command in help_text


def test_version():
    assert program("--version").stdout.strip()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["rnu"],
        ["run"],
        ["run", "a.yaml", "--outptu", "x"],
        ["inspect", "a.onnx", "b.onnx"],
        ["evaluate", "a.onnx"],
        ["compare", "a.onnx", "b.onnx", "--data", "random:1", "--min-agreement", "2"],
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments):
    assert len(failure(*arguments).strip().splitlines()) == 1


def test_a_wrong_command_is_named_with_the_nearest():
    assert "did you mean 'run'?" in failure("rnu")


def test_init_is_a_recipe(tmp_path, data):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(program("init", "vision").stdout)
    assert program("init").stdout == recipe.read_text()
    small = [
        "--set",
        f"data.root={data}",
        "--set",
        "model={builtin: mlp}",
        "--set",
        "deploy.engines=[torch]",
        "--set",
        "teacher.builtin=mlp",
    ]
    checked = program("run", recipe, "--check", "--output", tmp_path / "out", *small)
    assert "fine" in checked.stdout
    assert "there are: vision" in failure("init", "audio")


def test_schema_accepts_the_template():
    schema = json.loads(program("init", "--schema").stdout)
    assert {"data", "model", "stages", "deploy"} <= set(schema["properties"])


def test_run_writes_everything(run):
    folder, results = run
    assert results["schema"] == "model-compression/run/1"
    assert results["passed"] is True
    assert json.loads((folder / "results.json").read_text()) == results
    for file in ["recipe.yaml", "metrics.jsonl", "report.html", "models/train.onnx", "models/quantize.onnx"]:
        assert (folder / file).stat().st_size > 0
    text = program("report", folder).stdout
    assert "quantize" in text and "report.html" in text


def test_a_finished_run_is_not_overwritten(run):
    folder, results = run
    recipe = folder.parent / "recipe.yaml"
    assert "--resume" in failure("run", recipe, "--output", folder)
    assert document("run", recipe, "--output", folder, "--resume") == results


def test_a_requirement_that_does_not_hold_is_status_1(tmp_path, data):
    recipe = write_recipe(tmp_path, data, epochs=1)
    result = program(
        "run", recipe, "--output", tmp_path / "out", "--set", "deploy.require.min_snr_db=300", check=False
    )
    assert result.returncode == 1, result.stderr
    assert json.loads((tmp_path / "out" / "results.json").read_text())["passed"] is False


def test_recipe_errors_name_line_and_key(tmp_path, data):
    recipe = write_recipe(tmp_path, data)
    recipe.write_text(recipe.read_text().replace("epochs: 2", "epohcs: 2"))
    message = failure("run", recipe)
    assert "line 7, column 19" in message and "did you mean 'epochs'?" in message
    assert "--set stages.9.epochs" in failure("run", recipe, "--set", "stages.9.epochs=1")
    assert "KEY=VALUE" in failure("run", recipe, "--set", "oops")


def test_a_folder_that_cannot_be_written(tmp_path, data):
    (tmp_path / "file").write_text("x")
    assert "file/out" in failure("run", write_recipe(tmp_path, data), "--output", tmp_path / "file" / "out")


def test_interrupt_leaves_a_checkpoint_and_a_resume_line(tmp_path, data):
    recipe = write_recipe(tmp_path, data, epochs=400)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [PROGRAM, "run", recipe, "--output", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics = out / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) > 3):
        pass
    process.send_signal(2)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130, errors
    resume = f"resume with: model-compression run {recipe} --output {out} --resume"
    assert resume in errors
    assert (out / "checkpoints" / "train").is_dir()


def test_evaluate_agrees_with_the_run(run, data):
    folder, results = run
    model = folder / "models" / "quantize.onnx"
    value = document("evaluate", model, "--data", data, "--engine", "torch")
    assert value["schema"] == "model-compression/evaluate/1"
    expected = next(row for row in results["evaluations"] if row["model"] == "quantize")
    assert (value["value"], value["samples"], value["metric"]) == (expected["value"], 128, "top1")


def test_benchmark_lists_a_row_each(run):
    folder, _ = run
    models = [folder / "models" / f"{name}.onnx" for name in ("train", "quantize")]
    # Options that take lists must not swallow the files behind them.
    rows = document("benchmark", "--engine", "torch", *models, "--seconds", "0.02", "--batch", "1,4")["rows"]
    assert [(Path(row["model"]).stem, row["batch"]) for row in rows] == [
        ("train", 1),
        ("train", 4),
        ("quantize", 1),
        ("quantize", 4),
    ]
    assert all(row["median_ms"] > 0 and row["random_data"] for row in rows)


def test_compare_and_its_gates(run, data):
    folder, _ = run
    train, quantize = folder / "models" / "train.onnx", folder / "models" / "quantize.onnx"
    same = document("compare", train, train, "--data", data, "--engine", "torch")
    assert same["pairs"][0]["outputs"][0]["snr_db"] == 200 and same["passed"]
    arguments = ["compare", train, quantize, "--data", data, "--engine", "torch", "--json"]
    gated = program(*arguments, "--min-snr", "150", check=False)
    assert gated.returncode == 1 and json.loads(gated.stdout)["passed"] is False
    pair = json.loads(program(*arguments, "--per-layer").stdout)["pairs"][0]
    assert pair["samples"] == 128 and pair["layers"]


def test_compare_names_the_layer_that_parts(run, data):
    pytest.importorskip("onnxruntime")
    model = run[0] / "models" / "quantize.onnx"
    arguments = ["compare", model, model, "--data", data, "--engine", "torch,onnxruntime"]
    pair = document(*arguments, "--per-layer")["pairs"][0]
    steps = [layer["local"]["steps"] for layer in pair["layers"] if layer["steps"] is not None]
    assert steps and max(steps) <= 1 and pair["parts_at"] is None
    table = program(*arguments, "--per-layer").stdout
    assert "no layer parts from the reference by itself" in table


def test_quantize_writes_an_integer_model_and_says_what_it_did(run, data, tmp_path):
    folder, _ = run
    model, output = folder / "models" / "train.onnx", tmp_path / "int8.onnx"
    arguments = ["--data", data, "-o", output]
    report = document(*QUANTIZE, model, *arguments, "--method", "mse", "--samples", "64")
    assert report["schema"] == "model-compression/quantize/1"
    assert report["calibration_samples"] == 64 and report["method"] == "mse"
    assert report["comparison"]["samples"] == 128
    assert report["comparison"]["outputs"][0]["snr_db"] > 20
    assert report["bytes_after"] == output.stat().st_size < report["bytes_before"]
    assert all(layer["quantized"] for layer in report["layers"]) and len(report["layers"]) >= 2
    engine = report["comparison"]["engine"]
    again = document("evaluate", output, "--data", data, "--engine", engine)
    assert report["metric"] == {"name": "top1", "before": pytest.approx(report["metric"]["before"])} | {
        "after": again["value"]
    }
    # A layer kept float is named with the reason; patterns that match nothing are errors.
    kept = report["layers"][-1]["name"]
    text = program(*QUANTIZE, model, *arguments, "--keep-float", kept, "--target", "tensorrt").stdout
    line = next(line for line in text.splitlines() if line.startswith(kept + " "))
    assert "float" in line and "keep_float" in line
    assert "top-1 agreement" in text and "not compared on tensorrt" in text
    assert "nowhere" in failure(*QUANTIZE, model, *arguments, "--keep-float", "nowhere*")


@pytest.mark.parametrize("method", ["min_max", "moving_average", "percentile", "entropy", "mse"])
def test_quantize_by_every_method(run, data, tmp_path, method):
    folder, _ = run
    model = folder / "models" / "train.onnx"
    report = document(*QUANTIZE, model, "--data", data, "-o", tmp_path / "q.onnx", "--method", method)
    assert report["comparison"]["top1_agreement"] > 0.9
    assert report["calibration_samples"] == 512


def test_quantize_with_steps_around_calibration(run, data, tmp_path):
    folder, _ = run
    model = folder / "models" / "train.onnx"
    arguments = ["--data", data, "-o", tmp_path / "q.onnx"]
    steps = ["--equalize", "--smooth", "0.5", "--bias-correction", "fast"]
    report = document(*QUANTIZE, model, *arguments, *steps)
    assert [step["name"] for step in report["steps"]] == ["equalize", "smooth", "bias_correction"]
    assert report["steps"][2]["places"] == len(report["layers"])
    assert report["comparison"]["outputs"][0]["snr_db"] > 20
    assert document(*QUANTIZE, model, *arguments)["steps"] == []
    assert "fast" in failure(*QUANTIZE, model, *arguments, "--bias-correction", "quick")
    assert "1.5" in failure(*QUANTIZE, model, *arguments, "--smooth", "1.5")


def test_quantize_climbs_to_a_goal(run, data, tmp_path):
    folder, _ = run
    model, output = folder / "models" / "train.onnx", tmp_path / "q.onnx"
    arguments = [*QUANTIZE, model, "--data", data, "-o", output]
    report = document(*arguments, "--min-snr", "15")
    assert report["schema"] == "model-compression/quantize-ladder/1" and report["holds"]
    assert [step["rung"] for step in report["steps"]] == ["min-max"]
    # Out of reach: every rung is tried, nothing is tried twice, and the file is the best of all.
    beyond = program(*arguments, "--min-snr", "150", "--json", check=False)
    report = json.loads(beyond.stdout)
    assert beyond.returncode == 1 and not report["holds"]
    assert report["steps"][0]["remembered"] and not report["steps"][1]["remembered"]
    rungs = {step["rung"] for step in report["steps"]}
    assert {
        "min-max",
        "calibration",
        "equalization",
        "bias correction",
        "rounding",
        "mixed precision",
    } == rungs
    best = report["steps"][report["best"]]["judgement"]
    assert best["snr_db"] == max(step["judgement"]["snr_db"] for step in report["steps"])
    engine = report["engine"]
    pair = document("compare", model, output, "--data", data, "--engine", engine)["pairs"][0]
    assert pair["outputs"][0]["snr_db"] == pytest.approx(best["snr_db"], abs=0.01)
    text = program(*arguments, "--min-snr", "150", check=False).stdout
    assert "the goal is not reached: no rung is left" in text and "mixed precision" in text
    assert "labels" in failure(*QUANTIZE, model, "--data", "random:8", "-o", output, "--accuracy-drop", "0.1")
    assert "--mode ptq" in failure(*arguments, "--mode", "fp16", "--min-snr", "3")


def test_quantize_leaves_float_what_does_not_pay(run, data, tmp_path):
    folder, _ = run
    model, output = folder / "models" / "train.onnx", tmp_path / "q.onnx"
    report = document("quantize", model, "--data", data, "-o", output)
    latency = report["latency"]
    if latency is None:
        pytest.skip(report["engine_note"])
    slower = {node for choice in latency["choices"] if choice["kept_float"] for node in choice["nodes"]}
    assert latency["pays"] == (latency["quantized_ms"] <= 1.03 * latency["float_ms"])
    if latency["pays"]:
        assert {layer["name"] for layer in report["layers"] if not layer["quantized"]} == slower
    else:
        assert report["comparison"]["outputs"][0]["snr_db"] == 200
    assert all("faster in float" in layer["reason"] for layer in report["layers"] if not layer["quantized"])


def test_quantize_refuses_what_it_cannot_do(run, data, tmp_path):
    folder, _ = run
    train, quantized = folder / "models" / "train.onnx", folder / "models" / "quantize.onnx"
    output = ["-o", tmp_path / "q.onnx"]
    assert "already quantized" in failure(*QUANTIZE, quantized, "--data", data, *output)
    assert "overwrite" in failure(*QUANTIZE, train, "--data", data, "-o", train)
    assert "entropy" in failure(*QUANTIZE, train, "--data", data, *output, "--method", "entropi")
    unlabelled = ["--data", "random:8", *output]
    assert "no labels" in failure(*QUANTIZE, train, *unlabelled, "--metric", "top1")
    report = document(*QUANTIZE, train, *unlabelled)
    assert report["metric"] is None and report["random_data"] and report["calibration_samples"] == 8
    images = np.zeros((4, 1, 8, 8), np.float32)
    images[2, 0, 3, 3] = np.nan
    np.savez(tmp_path / "bad.npz", image=images)
    message = failure(*QUANTIZE, train, "--data", tmp_path / "bad.npz", *output)
    assert "sample 2" in message and "NaN" in message


@pytest.mark.parametrize("steps", ["", ", equalize: true, smooth: 0.5, bias_correction: full"])
def test_a_ptq_stage_trains_nothing(data, tmp_path, steps):
    recipe = write_recipe(tmp_path, data, epochs=1)
    flow = f"{{name: quantize, quantize: {{mode: ptq, calibrator: percentile, samples: 100{steps}}}}}"
    recipe.write_text(
        "\n".join(
            f"  - {flow}" if "name: quantize" in line else line for line in recipe.read_text().splitlines()
        )
    )
    results = document("run", recipe, "--output", tmp_path / "out")
    row = next(row for row in results["stages"] if row["name"] == "quantize")
    assert row["epochs"] == 0 and row["steps"] == 0 and row["methods"] == ["quantize"]
    assert all(layer["quantized"] for layer in results["quantized_layers"])
    pair = next(pair for pair in results["comparisons"] if pair["other"] == "quantize")
    assert pair["top1_agreement"] > 0.9
    assert document("run", recipe, "--output", tmp_path / "out", "--resume") == results
    for change in ("epochs=2", "distill={}", "prune={}"):
        message = failure("run", recipe, "--output", tmp_path / "no", "--set", f"stages.quantize.{change}")
        assert "mode: ptq" in message
    assert "at least 1" in failure("run", recipe, "--set", "stages.train.epochs=0")


def test_half_trained_models_pass_the_checker(run):
    onnx = pytest.importorskip("onnx")
    folder, _ = run
    files = sorted((folder / "stages").glob("*.onnx"))
    assert any(onnx.load(file).functions for file in files)
    for file in files:
        onnx.checker.check_model(onnx.load(file), full_check=True)


def test_hostile_files_are_errors(tmp_path):
    path = tmp_path / "bad.onnx"
    for content in [b"", b"\x00" * 100, b"\xff" * 4096, bytes(range(256)) * 16]:
        path.write_bytes(content)
        assert "bad.onnx" in failure("inspect", path)
    assert "nowhere.onnx" in failure("inspect", tmp_path / "nowhere.onnx")


def exported(tmp_path, keep_batch_norm):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 8, 3, padding=1, bias=False)
            self.bn = torch.nn.BatchNorm2d(8)
            self.fc = torch.nn.Linear(8 * 64, 10)

        def forward(self, x):
            return self.fc(torch.relu(self.bn(self.conv(x))).flatten(1))

    torch.manual_seed(0)
    path = tmp_path / f"net_{keep_batch_norm}.onnx"
    net = Net().train(keep_batch_norm)
    torch.onnx.export(
        net,
        (torch.randn(2, 1, 8, 8),),
        path,
        dynamo=True,
        optimize=not keep_batch_norm,
        input_names=["input"],
        external_data=False,
    )
    return path


@pytest.mark.parametrize("keep_batch_norm", [True, False])
def test_models_from_pytorch_are_inspected_and_trained(tmp_path, data, keep_batch_norm):
    path = exported(tmp_path, keep_batch_norm)
    inspection = document("inspect", path)
    assert inspection["unsupported"] == []
    assert [layer["op"] for layer in inspection["layers"]] == ["Conv", "Gemm"]
    assert all(layer["prunable"] and layer["quantizable"] for layer in inspection["layers"])
    assert inspection["macs"] == 8 * 9 * 64 + 8 * 64 * 10
    folded = any("batch norm" in note for note in inspection["notes"])
    assert folded == (not keep_batch_norm)
    recipe = write_recipe(tmp_path, data, model=f"{{onnx: {path}}}", epochs=4)
    results = document("run", recipe, "--output", tmp_path / "out")
    assert all(row["value"] > 0.9 for row in results["evaluations"])
