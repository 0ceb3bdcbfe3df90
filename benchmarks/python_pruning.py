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
from networks import resnet18
from torch.nn import functional as F


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
