"""A small PyTorch network that learns from a larger one in an ordinary loop, on Fashion-MNIST.

PYTHONPATH=python python examples/distillation.py [--epochs N] [--train-images N] [--test-images N]

The snippet is the two wrappers and `compute_loss`; the rest is what any program around it has. Exits with 0 only
when the student that was taught classifies better than the same student that learned alone.
"""

import argparse
import copy

import fashion_mnist
import torch
from model_compression import DistillationModelWrapper, TeacherWrapper
from torch import nn
from torch.utils.data import DataLoader


def convolutions(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 49, 10),
    )


def train(model: nn.Module, loader: DataLoader, epochs: int) -> None:
    """Trains a network, or a student with teachers: the only difference is where the loss comes from."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=epochs * len(loader))
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(epochs):
        for inputs, labels in loader:
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            if isinstance(model, DistillationModelWrapper):
                loss = model.compute_loss(loss, outputs)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train-images", type=int, default=12800)
    parser.add_argument("--test-images", type=int, default=10000)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    all_images = fashion_mnist.read("train", arguments.train_images)
    few_images = torch.utils.data.Subset(all_images, range(arguments.train_images // 8))
    test_set = fashion_mnist.read("t10k", arguments.test_images)

    # The teacher has seen eight times what the student learns from.
    teacher, student = convolutions(16), convolutions(4)
    alone = copy.deepcopy(student)
    train(teacher, DataLoader(all_images, batch_size=64, shuffle=True), arguments.epochs)
    loader = DataLoader(few_images, batch_size=64, shuffle=True)
    train(alone, loader, 3 * arguments.epochs)
    teacher_accuracy = fashion_mnist.accuracy(teacher, test_set)

    teacher = TeacherWrapper(teacher, ce_alpha=0.5, ce_temperature=2.0)
    distillation_model = DistillationModelWrapper(student, teacher, alpha_student=0.5)
    train(distillation_model, loader, 3 * arguments.epochs)

    alone_accuracy = fashion_mnist.accuracy(alone, test_set)
    taught_accuracy = fashion_mnist.accuracy(student, test_set)
    print(f"teacher {teacher_accuracy:.4f}, student alone {alone_accuracy:.4f}, taught {taught_accuracy:.4f}")
    return 0 if teacher_accuracy > taught_accuracy > alone_accuracy > 0.7 else 1


if __name__ == "__main__":
    raise SystemExit(main())
