"""A linear layer that trains as it will compute with integers (Zafrir et al. 2019, "Q8BERT")."""

import torch
from torch import nn
from torch.nn import functional as F

from .fake_quantize import (
    FakeQuantize,
    _dequantize,
    _quantize,
    _requantize,
    calc_max_quant_value,
    default_activation_fake_quant,
    default_weight_fake_quant,
    is_exporting,
)


class QuantizedLinearOutput(FakeQuantize):
    """The output of a QuantizedLinear: integers to values, with or without a grid of its own."""

    def __init__(self, output_fake_quant=None):
        requantize = output_fake_quant is not None
        if requantize:
            super().__init__(*output_fake_quant.p.args, **output_fake_quant.p.keywords)
        else:
            super().__init__()
            self.fake_quant_enabled[0] = 0
            self.observer_enabled[0] = 0
        self.register_buffer("requantize", torch.tensor([requantize], dtype=torch.uint8))
        self.has_grid = requantize  # the same where no tensor can be read: while a graph is captured
        self.register_buffer("quant_enabled", torch.ones(1, dtype=torch.uint8))

    def forward(self, X, weight_times_input_scale=None):
        """Training: fake quantization. Inference: what the accumulated integers X stand for."""
        if not self.training and self.quant_enabled[0] == 1:
            return self.quant_infer(X, weight_times_input_scale)
        return super().forward(X)

    def quant_infer(self, X, weight_times_input_scale):
        """The values of accumulated integers X, whose scale is that of the inputs times that of the weight."""
        if self.training or weight_times_input_scale is None:
            raise RuntimeError("integers become values in eval mode, by the scale of inputs times weights")
        if not self.requantize[0]:
            return _dequantize(X, weight_times_input_scale)
        levels = _requantize(
            X,
            weight_times_input_scale,
            0,
            self.scale,
            self.zero_point,
            self.quant_min,
            self.quant_max,
        )
        return _dequantize(levels, self.scale, self.zero_point)

    def enable_fake_quant(self, enabled=True):
        """Also of inference."""
        self.quant_enabled[0] = int(enabled)
        if self.requantize[0]:
            super().enable_fake_quant(enabled)

    def enable_observer(self, enabled=True):
        """Where there is a grid to observe for."""
        if self.requantize[0]:
            super().enable_observer(enabled)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self.has_grid = bool(self.requantize[0])

    def extra_repr(self):
        """Whether there is a grid, too."""
        return f"requantize={self.requantize}, {super().extra_repr()}"


class QuantizedLinear(nn.Linear):
    """nn.Linear whose inputs, weight and (where `output_fake_quant` is given) outputs are quantized.

    In training they are fake-quantized from step `start_step` on, while their ranges are observed; in eval mode the
    layer computes with integers, held in floating point. Exported graphs have it as fake quantization.
    """

    QuantizedLinearOutput = QuantizedLinearOutput

    def __init__(
        self,
        in_features,
        out_features,
        bias=True,
        start_step=0,
        weight_fake_quant=default_weight_fake_quant,
        input_fake_quant=default_activation_fake_quant,
        output_fake_quant=default_activation_fake_quant,
    ):
        super().__init__(in_features, out_features, bias)
        self.accumulation_bits = 32
        self.start_step = int(start_step)
        self.weight_fake_quant = weight_fake_quant()
        self.input_fake_quant = input_fake_quant()
        self.output_fake_quant = QuantizedLinearOutput(output_fake_quant)
        self.register_buffer("_step", torch.zeros(1))
        self.register_buffer("fake_quant_enabled", torch.tensor([1], dtype=torch.uint8))
        self._quantizes = True  # the same where no tensor can be read: while a graph is captured
        if self.start_step > 0:
            self.disable_observer()
            self.disable_fake_quant()

    @classmethod
    def from_float(
        cls,
        module,
        start_step=0,
        weight_fake_quant=default_weight_fake_quant,
        input_fake_quant=default_activation_fake_quant,
        output_fake_quant=default_activation_fake_quant,
    ):
        """This layer with the parameters of an nn.Linear, which both share then."""
        if not isinstance(module.weight, nn.Parameter):
            raise ValueError(  # noqa: TRY004, it is the time that is wrong
                "the layer's weight is being pruned: quantize before the pruning scheduler is made, or call "
                "remove_pruning() first"
            )
        new = cls(
            module.in_features,
            module.out_features,
            module.bias is not None,
            start_step=start_step,
            weight_fake_quant=weight_fake_quant,
            input_fake_quant=input_fake_quant,
            output_fake_quant=output_fake_quant,
        )
        new.weight, new.bias = module.weight, module.bias
        return new.train(module.training)

    def forward(self, input):
        """Shapes and types as of nn.Linear."""
        if is_exporting():
            return self._exported_forward(input)
        if self.training:
            if self._step == self.start_step:
                self.enable_fake_quant()
                self.enable_observer()
            self._step += 1
        elif self.fake_quant_enabled[0] == 1:
            return self.inference_quantized_forward(input)
        return self.training_quantized_forward(input)

    def training_quantized_forward(self, input):
        """With fake quantization, as far as it is on."""
        output = F.linear(self.input_fake_quant(input), self.quantized_weight, self.bias)
        return self.output_fake_quant(output)

    def inference_quantized_forward(self, input):
        """With integers: of the inputs, the weight, the bias and the sums."""
        if self.training:
            raise RuntimeError("integers are for eval mode")
        levels, weight = self.input_fake_quant(input), self.quantized_weight
        sums = F.linear(levels, weight, self._integer_bias(weight))
        sums = sums - self.weight_fake_quant.zero_point * levels.sum(-1, keepdim=True)
        return self.output_fake_quant(sums, self.input_fake_quant.scale * self.weight_fake_quant.scale)

    def _exported_forward(self, input):
        if not self._quantizes:
            return F.linear(input, self.weight, self.bias)
        weight = self.weight_fake_quant.exported(self.weight)
        output = F.linear(self.input_fake_quant.exported(input), weight, self.bias)
        return self.output_fake_quant.exported(output) if self.output_fake_quant.has_grid else output

    def _integer_bias(self, weight):
        """[out_features]: the bias, and what the zero point of the inputs adds to each sum."""
        zero_point = self.input_fake_quant.zero_point
        from_zero_point = zero_point * (self.weight_fake_quant.zero_point * self.in_features - weight.sum(-1))
        if self.bias is None:
            return from_zero_point
        scale = self.input_fake_quant.scale * self.weight_fake_quant.scale
        most = calc_max_quant_value(self.accumulation_bits - 1)
        return from_zero_point + _quantize(self.bias, scale, 0, -most, most - 1)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self._quantizes = bool(self.fake_quant_enabled[0])

    @property
    def quantized_weight(self):
        """The weight as the layer computes with it: fake-quantized in training, levels in eval mode."""
        return self.weight_fake_quant(self.weight)

    @property
    def quantized_bias(self):
        """The bias as inference adds it, with what zero points add; None where that is nothing."""
        bias = self._integer_bias(self.quantized_weight)
        return bias if bias.any() else None

    def enable_fake_quant(self, enabled=True):
        """Quantizes from now on, or no more. Gives the layer."""
        self.fake_quant_enabled[0] = int(enabled)
        self._quantizes = bool(enabled)
        for quantizer in (self.input_fake_quant, self.weight_fake_quant, self.output_fake_quant):
            quantizer.enable_fake_quant(enabled)
        return self

    def disable_fake_quant(self):
        """Computes as nn.Linear. Gives the layer."""
        return self.enable_fake_quant(False)

    def enable_observer(self, enabled=True):
        """Observes ranges from now on, or no more. Gives the layer."""
        for quantizer in (self.input_fake_quant, self.weight_fake_quant, self.output_fake_quant):
            quantizer.enable_observer(enabled)
        return self

    def disable_observer(self):
        """Keeps the ranges as they are. Gives the layer."""
        return self.enable_observer(False)


QUANT_MAPPING = {nn.Linear: QuantizedLinear}
UNQUANT_MAPPING = {QuantizedLinear: nn.Linear}
