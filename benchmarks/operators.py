"""What one operator costs, forward and backward, in a graph of ours and as PyTorch's own call from Python: the
cases of the gradient tests, whose tensors are small, so that it is calls that are compared.

    .venv/bin/python benchmarks/operators.py [--all]

Prints the median and the largest ratios; with --all every operator.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import onnx
import torch

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))
from test_gradients import torch_caller


def least_microseconds(body):
    least, end, runs = float("inf"), time.perf_counter() + 0.02, 0
    while runs < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        body()
        least, runs = min(least, 1e6 * (time.perf_counter() - start)), runs + 1
    return least


def measure_pytorch(case):
    """Forward and step, or None where PyTorch has no such operator."""
    found = torch_caller(case, torch.float32)
    if found is None:
        return None
    call, _ = found

    def step():
        total = torch.zeros(())
        for output in call():
            if output.requires_grad:
                total = total + output.sum()
        total.backward()

    return least_microseconds(call), least_microseconds(step)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = subprocess.run(
        [ROOT / "build/benchmarks/bench_operators"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    ours = {name: (float(forward), float(step)) for name, forward, step in map(str.split, lines)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([ROOT / "build/tests/write_gradient_cases", folder], check=True)
        for case in json.loads(pathlib.Path(folder, "cases.json").read_text()):
            case["model"] = onnx.load(f"{folder}/{case['name']}.onnx")
            theirs = measure_pytorch(case) if case["name"] in ours else None
            if theirs:
                rows.append((case["name"], *ours[case["name"]], *theirs))
    rows.sort(key=lambda row: -row[2] / row[4])
    print(f"{len(ours)} cases of ours, {len(rows)} that PyTorch has too")
    print(f"{'case':34}{'forward us':>11}{'PyTorch':>9}{'step us':>9}{'PyTorch':>9}{'ratio':>7}")
    for name, forward, step, their_forward, their_step in rows if arguments.all else rows[:15]:
        print(
            f"{name:34}{forward:11.1f}{their_forward:9.1f}{step:9.1f}{their_step:9.1f}{step / their_step:7.2f}"
        )
    for column, what in ((1, "forward"), (2, "step")):
        ratios = [row[column] / row[column + 2] for row in rows]
        print(f"{what}: median ratio {statistics.median(ratios):.3f}, largest {max(ratios):.2f}")


if __name__ == "__main__":
    main()
