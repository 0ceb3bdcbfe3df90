"""Which networks are exported, with which inputs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from models import attention, configured, convolutional


@dataclass
class Input:
    """Sizes that are names are dynamic; `words` makes indices below that number instead of floats."""

    shape: tuple
    words: int = 0
    mask: bool = False

    def sample(self, sizes, generator):
        shape = [sizes.get(dim, dim) for dim in self.shape]
        if self.mask:
            return torch.ones(shape, dtype=torch.int64)
        if self.words:
            return torch.randint(self.words, shape, generator=generator)
        return torch.randn(shape, generator=generator)

    def dynamic(self):
        return {axis: dim for axis, dim in enumerate(self.shape) if isinstance(dim, str)}


@dataclass
class Case:
    build: Callable[[], torch.nn.Module]
    inputs: dict
    outputs: tuple = ("logits",)
    rate: float = 0.05
    sizes: dict = field(default_factory=dict)  # of dynamic axes in the example
    others: dict = field(default_factory=dict)  # of dynamic axes in a second run
    norm: bool = False  # has batch norm
    multiples: dict = field(default_factory=dict)  # of dynamic axes: a number that divides them
    fixed: dict = field(
        default_factory=dict
    )  # way of exporting: dynamic axes that PyTorch fixes all the same
    frozen: dict = field(
        default_factory=dict
    )  # way of exporting: patterns of parameters that are constants in the file
    tied: bool = False  # the last layer is the embedding


def image(size=32):
    return {"image": Input(("batch", 3, size, size))}


SQUARE = {"image": Input(("batch", 3, "height", "width"))}
WORDS = {"input_ids": Input(("batch", "sequence"), words=60)}
MASK = {"attention_mask": Input(("batch", "sequence"), mask=True)}
PAST = {"past": Input((2, 2, "batch", 4, "past", 8))}

# A table that is read at constant places becomes what is read there.
TABLES_FOLDED = {"folded": ("*table",)}

CASES = {
    "resnet50": Case(convolutional.ResNet50, image(64), norm=True, rate=1e-3),
    "mobilenet_v3": Case(convolutional.MobileNetV3, image(), norm=True),
    "efficientnet": Case(convolutional.EfficientNet, image(), norm=True),
    "convnext": Case(convolutional.ConvNeXt, image()),
    "unet": Case(
        convolutional.UNet,
        SQUARE,
        norm=True,
        sizes={"height": 16, "width": 24},
        others={"height": 32, "width": 16},
        multiples={"height": 4, "width": 4},
    ),
    "yolo": Case(
        convolutional.Yolo,
        SQUARE,
        outputs=("boxes",),
        norm=True,
        sizes={"height": 32, "width": 48},
        others={"height": 48, "width": 64},
        multiples={"height": 8, "width": 8},
    ),
    "vit": Case(attention.ViT, image()),
    "swin": Case(attention.Swin, image(), frozen=TABLES_FOLDED),
    "tagger": Case(
        attention.Tagger,
        {"words": Input(("batch", "sequence"), words=50)},
        outputs=("tags",),
        rate=0.5,
        sizes={"sequence": 7},
        others={"sequence": 4},
        fixed={"folded": ("sequence",)},
    ),
    "hf_vit": Case(configured.vit, {"pixel_values": Input(("batch", 3, 32, 32))}),
    "hf_swin": Case(configured.swin, {"pixel_values": Input(("batch", 3, 32, 32))}, frozen=TABLES_FOLDED),
    "hf_convnext": Case(configured.convnext, {"pixel_values": Input(("batch", 3, 32, 32))}),
    "bert": Case(configured.Bert, WORDS | MASK, sizes={"sequence": 9}, others={"sequence": 5}),
    "gpt2": Case(configured.Gpt2, WORDS, sizes={"sequence": 9}, others={"sequence": 5}, tied=True),
    "gpt2_past": Case(
        configured.Gpt2WithPast,
        WORDS | PAST,
        outputs=("logits", "present"),
        sizes={"sequence": 3, "past": 6},
        others={"sequence": 4, "past": 2},
        tied=True,
    ),
    "whisper": Case(
        configured.whisper_encoder,
        {"input_features": Input(("batch", 16, 48))},
        outputs=("last_hidden_state",),
        frozen={"folded": ("model.embed_positions.weight",)},
    ),
}
