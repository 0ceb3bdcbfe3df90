"""Small networks that tests of the package train."""

import torch
from torch import nn


class ConvNet(nn.Module):
    """Convolutions with batch norm, a residual sum, dropout, and tensors that only a module has."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8 * 16, 4)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.full((), 1.5))
        self.register_buffer("shift", torch.full((4,), 0.25))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        x = nn.functional.max_pool2d(x, 2)
        return self.fc(self.dropout(x.flatten(1))) * self.scale + self.shift


class TiedNet(nn.Module):
    """A table of embeddings whose transpose is the classifier; called with names, gives a dictionary."""

    def __init__(self, words: int = 11, width: int = 6):
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids, mask=None, scale: float = 1.0):
        x = self.norm(torch.tanh(self.mix(self.table(ids)))) * scale
        if mask is not None:
            x = x * mask.unsqueeze(-1)
        return {"logits": self.head(x), "hidden": (x, x.mean(1))}


def batches(count: int, size: int = 8, seed: int = 0):
    """Images whose class is the quarter that is bright, with labels."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        labels = torch.randint(0, 4, (size,), generator=generator)
        images = torch.randn(size, 1, 8, 8, generator=generator) * 0.5
        for image, label in zip(images, labels.tolist(), strict=True):
            row, column = divmod(label, 2)
            image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1.5
        yield images, labels


def train(model: nn.Module, steps: int, lr: float = 0.05, seed: int = 0) -> list[float]:
    """An ordinary loop; gives the losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    losses = []
    for images, labels in batches(steps, seed=seed):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
