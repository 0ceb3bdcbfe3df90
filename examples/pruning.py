"""Pruning a PyTorch network to 90 % zeros in an ordinary loop, on Fashion-MNIST.

PYTHONPATH=python python examples/pruning.py [--epochs N] [--train-images N] [--test-images N]

The snippet is the configuration, the scheduler, `step()` and `remove_pruning()`; the rest is what any program around
it has. Exits with 0 only when 90 % of the weights are zero and the network is about as good as the dense one.
"""

import argparse
import copy

import fashion_mnist
import torch
from model_compression import (
    IterativePruningConfig,
    IterativePruningScheduler,
    get_tensor_sparsity_ratio,
)
from torch import nn
from torch.utils.data import DataLoader


def train(model: nn.Module, loader: DataLoader, epochs: int, pruning_scheduler=None) -> None:
    # The optimizer comes after the scheduler: a pruned weight is the parameter `weight_original`.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=epochs * len(loader))
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(epochs):
        for inputs, labels in loader:
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            if pruning_scheduler is not None:
                pruning_scheduler.step()
            optimizer.zero_grad()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--train-images", type=int, default=12800)
    parser.add_argument("--test-images", type=int, default=10000)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    loader = DataLoader(
        fashion_mnist.read("train", arguments.train_images), batch_size=64, shuffle=True, drop_last=True
    )
    test_set = fashion_mnist.read("t10k", arguments.test_images)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    dense = copy.deepcopy(model)
    train(dense, loader, arguments.epochs)

    pruning_config = IterativePruningConfig(
        pruning_fn="unstructured_magnitude",
        pruning_fn_default_kwargs={"target_sparsity": 0.9},
    )
    pruning_scheduler = IterativePruningScheduler(model, pruning_config)
    train(model, loader, arguments.epochs, pruning_scheduler)
    pruning_scheduler.remove_pruning()

    weights = torch.cat([layer.weight.flatten() for layer in (model[1], model[3])])
    sparsity = get_tensor_sparsity_ratio(weights)
    dense_accuracy = fashion_mnist.accuracy(dense, test_set)
    pruned_accuracy = fashion_mnist.accuracy(model, test_set)
    print(f"dense {dense_accuracy:.4f}, pruned {pruned_accuracy:.4f} with {sparsity:.1%} zeros")
    as_good = dense_accuracy > 0.8 and pruned_accuracy > dense_accuracy - 0.03
    return (
        0
        if as_good and abs(sparsity - 0.9) < 0.001 and set(model.state_dict()) == set(dense.state_dict())
        else 1
    )


if __name__ == "__main__":
    raise SystemExit(main())
