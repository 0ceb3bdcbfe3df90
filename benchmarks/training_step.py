"""Training steps of ResNet-18 (CIFAR layout, batch 32, 3x32x32): ours beside PyTorch, in turns.

    .venv/bin/python benchmarks/training_step.py [--rounds N]

Prints the median milliseconds of a step for PyTorch in Python, our float step, our QAT step and our
pruning step at 90 %, and the ratios that matter.
"""

import argparse
import pathlib
import statistics
import subprocess
import time

import torch
from torch import nn

PROGRAM = pathlib.Path(__file__).parent.parent / "build/benchmarks/bench_training_step"


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = resnet18().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, nesterov=True)
    images, labels = torch.randn(32, 3, 32, 32), torch.randint(10, (32,))
    loss_function = nn.CrossEntropyLoss()

    def pytorch_step():
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_function(model(images), labels).backward()
        optimizer.step()
        return 1000 * (time.perf_counter() - start)

    ours = subprocess.Popen(
        [PROGRAM, "resnet18", "32", str(arguments.threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def our_steps(mode):
        ours.stdin.write(f"{mode} {arguments.steps}\n")
        ours.stdin.flush()
        return [float(word) for word in ours.stdout.readline().split()]

    times = {"pytorch": [], "float": [], "qat": [], "prune": []}
    for index in range(arguments.rounds + 1):
        measured = {"pytorch": [pytorch_step() for _ in range(arguments.steps)]}
        measured |= {mode: our_steps(mode) for mode in ("float", "qat", "prune")}
        if index > 0:  # the first round warms up
            for name, values in measured.items():
                times[name] += values
    ours.stdin.close()
    ours.wait()
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:10} {value:8.1f} ms")
    print(f"float / pytorch {medians['float'] / medians['pytorch']:.3f}")
    print(f"qat / float     {medians['qat'] / medians['float']:.3f}")
    print(f"prune / float   {medians['prune'] / medians['float']:.3f}")


if __name__ == "__main__":
    main()
