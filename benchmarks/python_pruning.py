"""Pruning of ResNet-18 in an ordinary PyTorch loop: this package and IntelLabs' model_compression_research.

    PYTHONPATH=python python benchmarks/python_pruning.py --packages FOLDER

FOLDER has the reference package (model_compression_research/). Both train the same network (images 3x32x32, batch
32, SGD with momentum, unstructured magnitude to 90 %, a new mask in each step), in turns, so that both see the same
machine. Prints milliseconds: medians of the training step and of the scheduler's step in it.
"""

import argparse
import copy
import importlib
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18():
    """ResNet-18 (He et al. 2016) for small images: a 3x3 stem without pooling, 11.2 M parameters."""
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for outputs in (64, 128, 256, 512):
        for stride in (1 if outputs == 64 else 2, 1):
            layers.append(Block(inputs, outputs, stride))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Training:
    """A copy of the network, pruned and trained by one of the packages."""

    def __init__(self, package, network, frequency):
        api = importlib.import_module(package)
        self.name = package
        self.model = copy.deepcopy(network).train()
        config = api.IterativePruningConfig(
            pruning_fn="unstructured_magnitude",
            pruning_fn_default_kwargs={"target_sparsity": 0.9},
            pruning_frequency=frequency,
            policy_end_step=1,
        )
        self.scheduler = api.IterativePruningScheduler(self.model, config)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.steps, self.scheduler_steps = [], []

    def step(self, images, labels):
        start = time.perf_counter()
        F.cross_entropy(self.model(images), labels).backward()
        self.optimizer.step()
        before = time.perf_counter()
        self.scheduler.step()
        self.scheduler_steps.append(1e3 * (time.perf_counter() - before))
        self.optimizer.zero_grad()
        self.steps.append(1e3 * (time.perf_counter() - start))

    def sparsity(self):
        weights = [each["method"].get_parameters("mask") for each in self.scheduler.method_dicts]
        return 1 - sum(w.count_nonzero().item() for w in weights) / sum(w.numel() for w in weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--packages", required=True, help="folder of the reference package")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=4, help="steps that do not count")
    parser.add_argument("--frequency", type=int, default=1, help="steps between two new masks")
    arguments = parser.parse_args()
    sys.path.append(arguments.packages)
    torch.manual_seed(0)
    network = resnet18()
    images, labels = torch.randn(32, 3, 32, 32), torch.randint(10, (32,))
    runs = [
        Training(package, network, arguments.frequency)
        for package in ("model_compression_research", "model_compression")
    ]
    for _ in range(arguments.warmup + arguments.steps):
        for run in runs:
            run.step(images, labels)
    medians = []
    for run in runs:
        step = statistics.median(run.steps[arguments.warmup :])
        own = statistics.median(run.scheduler_steps[arguments.warmup :])
        medians.append((step, own))
        print(
            f"{run.name}: training step {step:.1f} ms, of it the scheduler {own:.2f} ms, {run.sparsity():.4f} sparse"
        )
    ratios = [ours / theirs for theirs, ours in zip(*medians, strict=True)]
    print(f"ratio: training step {ratios[0]:.3f}, scheduler {ratios[1]:.3f}")


if __name__ == "__main__":
    main()
