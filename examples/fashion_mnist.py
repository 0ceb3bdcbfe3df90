"""Fashion-MNIST as tensors, and the measure of a classifier, for the examples in Python."""

import gzip
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist


def read(part: str, limit: int, folder: Path = FOLDER) -> TensorDataset:
    """The first images of "train" or "t10k", float [1, 28, 28] of mean 0 and deviation 1, with their labels."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = torch.frombuffer(bytearray(file.read(16 + limit * 784)[16:]), dtype=torch.uint8)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = torch.frombuffer(bytearray(file.read(8 + limit)[8:]), dtype=torch.uint8)
    return TensorDataset((images.view(-1, 1, 28, 28).float() - 73) / 90, labels.long())


@torch.no_grad()
def accuracy(model: nn.Module, dataset: TensorDataset) -> float:
    """The part of images whose class is found."""
    model.eval()
    right = 0
    for images, labels in DataLoader(dataset, batch_size=500):
        right += (model(images).argmax(1) == labels).sum().item()
    return right / len(dataset)
