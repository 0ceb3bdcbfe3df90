"""Convolutional networks in the published layouts, narrow enough for a test."""

import torch
from torch import nn
from torch.nn import functional


def conv_norm(inputs, outputs, kernel=3, stride=1, groups=1, activation=nn.ReLU):
    """Convolution, batch norm and activation, as many layers of most networks are."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(outputs)]
    if activation:
        layers.append(activation())
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = 4 * width
        self.reduce = conv_norm(inputs, width, 1)
        self.conv = conv_norm(width, width, 3, stride)
        self.expand = conv_norm(width, outputs, 1, activation=None)
        nn.init.constant_(self.expand[1].weight, 0.1)  # as deep networks begin; else rounding errors grow
        self.skip = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.skip = conv_norm(inputs, outputs, 1, stride, activation=None)

    def forward(self, x):
        return torch.relu(self.expand(self.conv(self.reduce(x))) + self.skip(x))


class ResNet50(nn.Module):
    """He et al. 2016: all 50 layers, a quarter of the width."""

    def __init__(self, width=16, classes=10):
        super().__init__()
        layers = [conv_norm(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
        inputs = width
        for stage, depth in enumerate((3, 4, 6, 3)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(Bottleneck(inputs, width << stage, stride))
                inputs = 4 * (width << stage)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, image):
        x = functional.adaptive_avg_pool2d(self.features(image), 1)
        return self.classifier(torch.flatten(x, 1))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, squeezed, activation, gate):
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.activation = activation()
        self.gate = gate()

    def forward(self, x):
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(self.activation(self.reduce(pooled))))


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze and excite, project: the block of MobileNetV3 and EfficientNet."""

    def __init__(self, inputs, outputs, expand, kernel, stride, squeeze, activation, gate):
        super().__init__()
        hidden = round(inputs * expand)
        layers = [conv_norm(inputs, hidden, 1, activation=activation)] if expand > 1 else []
        layers.append(conv_norm(hidden, hidden, kernel, stride, hidden, activation))
        if squeeze:
            inner = nn.ReLU if gate is nn.Hardsigmoid else activation
            layers.append(SqueezeExcite(hidden, max(hidden // 4, 4), inner, gate))
        layers.append(conv_norm(hidden, outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNetV3(nn.Module):
    """Howard et al. 2019: hard swish, and squeeze-and-excite with a hard sigmoid."""

    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 8, 3, 2, activation=nn.Hardswish),
            InvertedResidual(8, 8, 1, 3, 1, True, nn.ReLU, nn.Hardsigmoid),
            InvertedResidual(8, 16, 4, 3, 2, False, nn.ReLU, nn.Hardsigmoid),
            InvertedResidual(16, 16, 3, 5, 1, True, nn.Hardswish, nn.Hardsigmoid),
            InvertedResidual(16, 24, 3, 5, 2, True, nn.Hardswish, nn.Hardsigmoid),
            InvertedResidual(24, 24, 3, 5, 1, True, nn.Hardswish, nn.Hardsigmoid),
            conv_norm(24, 64, 1, activation=nn.Hardswish),
        )
        self.hidden = nn.Linear(64, 48)
        self.classifier = nn.Linear(48, classes)

    def forward(self, image):
        x = functional.adaptive_avg_pool2d(self.features(image), 1).flatten(1)
        return self.classifier(functional.hardswish(self.hidden(x)))


class EfficientNet(nn.Module):
    """Tan and Le 2019: MBConv blocks with SiLU."""

    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 8, 3, 2, activation=nn.SiLU),
            InvertedResidual(8, 8, 1, 3, 1, True, nn.SiLU, nn.Sigmoid),
            InvertedResidual(8, 12, 6, 3, 2, True, nn.SiLU, nn.Sigmoid),
            InvertedResidual(12, 12, 6, 3, 1, True, nn.SiLU, nn.Sigmoid),
            InvertedResidual(12, 20, 6, 5, 2, True, nn.SiLU, nn.Sigmoid),
            InvertedResidual(20, 20, 6, 5, 1, True, nn.SiLU, nn.Sigmoid),
            conv_norm(20, 64, 1, activation=nn.SiLU),
        )
        self.classifier = nn.Linear(64, classes)

    def forward(self, image):
        return self.classifier(self.features(image).mean((2, 3)))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of an image."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, 4 * channels)
        self.project = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.project(functional.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Liu et al. 2022."""

    def __init__(self, widths=(12, 24, 48), depth=2, classes=10):
        super().__init__()
        layers = [nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0], eps=1e-6)]
        for inputs, outputs in zip((None, *widths), widths, strict=False):
            if inputs:
                layers += [ChannelNorm(inputs, eps=1e-6), nn.Conv2d(inputs, outputs, 2, 2)]
            layers += [ConvNeXtBlock(outputs) for _ in range(depth)]
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(widths[-1], eps=1e-6)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image):
        return self.classifier(self.norm(self.features(image).mean((2, 3))))


class UNet(nn.Module):
    """Ronneberger et al. 2015, upsampling by transposed convolutions."""

    def __init__(self, widths=(8, 16, 32), classes=3):
        super().__init__()
        self.down = nn.ModuleList()
        inputs = 3
        for width in widths:
            self.down.append(nn.Sequential(conv_norm(inputs, width), conv_norm(width, width)))
            inputs = width
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(inputs, width, 2, 2))
            self.merge.append(nn.Sequential(conv_norm(2 * width, width), conv_norm(width, width)))
            inputs = width
        self.classifier = nn.Conv2d(inputs, classes, 1)

    def forward(self, image):
        x = self.down[0](image)
        skips = []
        for block in list(self.down)[1:]:
            skips.append(x)
            x = block(functional.max_pool2d(x, 2))
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.classifier(x)


class SplitBlock(nn.Module):
    """Half of the channels passes by; every inner result is concatenated (C2f of YOLOv8)."""

    def __init__(self, inputs, outputs, depth=1):
        super().__init__()
        half = outputs // 2
        self.first = conv_norm(inputs, outputs, 1, activation=nn.SiLU)
        self.inner = nn.ModuleList(conv_norm(half, half, activation=nn.SiLU) for _ in range(depth))
        self.last = conv_norm((2 + depth) * half, outputs, 1, activation=nn.SiLU)

    def forward(self, x):
        halves = self.first(x).chunk(2, 1)
        parts = [halves[0], halves[1]]
        for block in self.inner:
            parts.append(block(parts[-1]) + parts[-1])
        return self.last(torch.cat(parts, 1))


class Yolo(nn.Module):
    """Backbone, pyramid pooling, a top-down path with Resize, and heads whose boxes are decoded by a softmax."""

    bins = 8

    def __init__(self, classes=4):
        super().__init__()
        self.classes = classes
        self.stem = conv_norm(3, 8, 3, 2, activation=nn.SiLU)
        self.fine = nn.Sequential(conv_norm(8, 16, 3, 2, activation=nn.SiLU), SplitBlock(16, 16))
        self.coarse = nn.Sequential(conv_norm(16, 32, 3, 2, activation=nn.SiLU), SplitBlock(32, 32))
        self.pool = conv_norm(4 * 32, 32, 1, activation=nn.SiLU)
        self.top_down = SplitBlock(48, 16)
        outputs = 4 * self.bins + classes
        self.heads = nn.ModuleList([nn.Conv2d(16, outputs, 1), nn.Conv2d(32, outputs, 1)])
        self.register_buffer("distances", torch.arange(self.bins, dtype=torch.float32))

    def forward(self, image):
        fine = self.fine(self.stem(image))
        coarse = self.coarse(fine)
        pooled = [coarse]
        for _ in range(3):
            pooled.append(functional.max_pool2d(pooled[-1], 5, 1, 2))
        coarse = self.pool(torch.cat(pooled, 1))
        up = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = self.top_down(torch.cat([up, fine], 1))
        maps = [head(x) for head, x in zip(self.heads, (fine, coarse), strict=True)]
        merged = torch.cat([x.flatten(2) for x in maps], 2)
        boxes, scores = merged.split([4 * self.bins, self.classes], 1)
        boxes = boxes.unflatten(1, (4, self.bins)).softmax(2)
        boxes = (boxes * self.distances.view(1, 1, -1, 1)).sum(2)
        begin, end = boxes.chunk(2, 1)
        return torch.cat([(end - begin) / 2, begin + end, scores.sigmoid()], 1)
