"""Runs a file with our executor (tests/tools/train_steps.cpp), with ONNX Runtime, and trains it with PyTorch."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("MC_BUILD_DIR", ROOT / "build"))
PROGRAM = BUILD / "tests" / "train_steps"
DTYPES = {"float": "f4", "double": "f8", "int64": "i8", "int32": "i4", "bool": "?"}


@dataclass
class Result:
    written: list  # outputs of the graph as it stands in the file
    folded: list  # outputs of the graph folded for inference
    parameters: dict  # name -> elements
    losses: list
    folder: Path


def execute(model, arrays, folder, steps=0, rate=0.0):
    """Outputs in eval(), then losses of gradient descent on the targets that `arrays` holds."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    command = [PROGRAM, model, folder / "data.npz", folder]
    command += [steps, rate] if steps else []
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)

    def read(prefix):
        return [
            np.fromfile(folder / f"{prefix}_{i}.bin", DTYPES[output["dtype"]]).reshape(output["dims"])
            for i, output in enumerate(document["outputs"])
        ]

    return Result(read("written"), read("folded"), document["parameters"], document["losses"], folder)


def reference(model, arrays):
    """What ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: np.asarray(arrays[name]) for name in names})


def descend(model, inputs, targets, steps, rate):
    """PyTorch's losses for what `execute` does."""
    optimizer = torch.optim.SGD(model.parameters(), rate)
    losses = []
    for _ in range(steps):
        outputs = model(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = sum(
            torch.nn.functional.mse_loss(output, target)
            for output, target in zip(outputs, targets, strict=True)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
