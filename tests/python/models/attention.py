"""Vision transformers and a recurrent tagger."""

import torch
from torch import nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Multi-head attention; `bias` is added to the scores of each head."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x, bias=None):
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if bias is None:
            y = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        else:
            scores = qkv[0] @ qkv[1].transpose(2, 3) * qkv.shape[-1] ** -0.5
            y = (scores + bias).softmax(3) @ qkv[2]
        return self.project(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class Encoder(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.feed = FeedForward(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.feed(self.norm2(x))


class ViT(nn.Module):
    """Dosovitskiy et al. 2021."""

    def __init__(self, size=32, patch=8, width=32, depth=3, heads=4, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(Encoder(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.classifier(self.norm(self.blocks(x))[:, 0])


def relative_positions(window):
    """For each pair of places in a window, the row of its bias in the table."""
    place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    offset = place[:, :, None] - place[:, None, :] + window - 1
    return offset[0] * (2 * window - 1) + offset[1]


def shift_mask(size, window, shift):
    """-100 between places that only the shift has brought into one window."""
    region = torch.zeros(size, size)
    bands = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for i, rows in enumerate(bands):
        for j, columns in enumerate(bands):
            region[rows, columns] = 3 * i + j
    windows = (
        region.view(size // window, window, size // window, window).transpose(1, 2).reshape(-1, window**2)
    )
    return (windows[:, None, :] != windows[:, :, None]).float() * -100.0


class SwinBlock(nn.Module):
    def __init__(self, size, width, heads, window, shift):
        super().__init__()
        self.size, self.window, self.shift = size, window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.02)
        self.norm2 = nn.LayerNorm(width)
        self.feed = FeedForward(width)
        self.register_buffer("index", relative_positions(window).flatten(), persistent=False)
        self.register_buffer("mask", shift_mask(size, window, shift) if shift else None, persistent=False)

    def forward(self, x):
        size, window, width = self.size, self.window, x.shape[-1]
        count = size // window
        y = self.norm1(x).view(-1, size, size, width)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = y.view(-1, count, window, count, window, width).transpose(2, 3)
        y = y.reshape(-1, window * window, width)
        bias = self.table[self.index].view(window**2, window**2, -1).permute(2, 0, 1).unsqueeze(0)
        if self.shift:
            batch = y.shape[0] // count**2
            bias = (bias + self.mask.unsqueeze(1)).repeat(batch, 1, 1, 1)
        y = self.attention(y, bias)
        y = y.view(-1, count, count, window, window, width).transpose(2, 3).reshape(-1, size, size, width)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y.reshape(-1, size * size, width)
        return x + self.feed(self.norm2(x))


class PatchMerging(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.size = size
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        x = x.view(-1, self.size, self.size, x.shape[-1])
        x = torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        return self.reduce(self.norm(x.flatten(1, 2)))


class Swin(nn.Module):
    """Liu et al. 2021: windows, shifted in every second block, with a learnt bias by relative position."""

    def __init__(self, size=8, patch=4, width=16, heads=2, window=4, classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        layers = []
        for stage in range(2):
            shift = window // 2 if size > window else 0
            layers += [SwinBlock(size, width, heads << stage, window, 0)]
            layers += [SwinBlock(size, width, heads << stage, window, shift)]
            if stage == 0:
                layers.append(PatchMerging(size, width))
                size, width = size // 2, width * 2
        self.blocks = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, image):
        x = self.patches(image).flatten(2).transpose(1, 2)
        return self.classifier(self.norm(self.blocks(x)).mean(1))


class Tagger(nn.Module):
    """A class for each word of a sentence, by an LSTM in both directions."""

    def __init__(self, words=50, width=12, hidden=16, tags=5):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * hidden, tags)

    def forward(self, words):
        return self.classifier(self.lstm(self.embedding(words))[0])
