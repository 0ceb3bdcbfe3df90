"""Training steps on random data: ours beside PyTorch in Python, in turns.

    .venv/bin/python benchmarks/training_step.py [--network resnet18|resnet50|bert12] [--batch N] [--rounds N]

The network is exported from PyTorch by torch.onnx.export and read by ours. Prints the median milliseconds
of a step for PyTorch, our float step, our QAT step and our pruning step at 90 %, and the ratios that matter.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
from networks import NETWORKS, export
from torch import nn

PROGRAM = pathlib.Path(__file__).parent.parent / "build/benchmarks/bench_training_step"


def pytorch_stepper(model, inputs, labels):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loss_function = nn.CrossEntropyLoss()

    def step():
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_function(model(inputs), labels).backward()
        optimizer.step()
        return 1000 * (time.perf_counter() - start)

    return step


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NETWORKS, default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", nargs="*", default=["float", "qat", "prune"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    make, sample, classes = NETWORKS[arguments.network]
    model, inputs = make(), sample(arguments.batch)
    labels = torch.randint(classes, (arguments.batch,))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        export(model, inputs, path, training=True)
        ours = subprocess.Popen(
            [PROGRAM, path, str(arguments.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        times = measure(pytorch_stepper(model, inputs, labels), ours, arguments)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:10} {value:8.1f} ms")
    for name in arguments.modes:
        peer = "pytorch" if name == "float" else "float"
        if peer in medians:
            print(f"{name} / {peer} {medians[name] / medians[peer]:.3f}")


def measure(pytorch_step, ours, arguments):
    def our_steps(mode):
        ours.stdin.write(f"{mode} {arguments.steps}\n")
        ours.stdin.flush()
        return [float(word) for word in ours.stdout.readline().split()]

    times = {name: [] for name in ("pytorch", *arguments.modes)}
    for index in range(arguments.rounds + 1):
        measured = {"pytorch": [pytorch_step() for _ in range(arguments.steps)]}
        measured |= {mode: our_steps(mode) for mode in arguments.modes}
        if index > 0:  # the first round warms up
            for name, values in measured.items():
                times[name] += values
    ours.stdin.close()
    ours.wait()
    return times


if __name__ == "__main__":
    main()
