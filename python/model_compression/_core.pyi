"""The native part of model_compression. Written by scripts/core_stubs.py."""

import collections.abc

import torch

class Dataset:
    """Samples that the commands can read."""
    def __len__(self) -> int: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def description(self) -> str: ...
    @property
    def fields(self) -> list[tuple[str, torch.dtype, list[int]]]: ...
    def get(self, indices: collections.abc.Sequence[int]) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """(arrays, labels or None)."""

class GraphModule:
    """An ONNX graph on ATen, with autograd."""
    def forward(self, inputs: collections.abc.Sequence[torch.Tensor], training: bool) -> list[torch.Tensor]:
        """The outputs, in the order of output_names, with autograd."""
    def forward_tapped(
        self,
        inputs: collections.abc.Sequence[torch.Tensor],
        wanted: collections.abc.Sequence[str],
        training: bool,
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The outputs, and the values of these names."""
    def has_value(self, name: str) -> bool:
        """Whether forward_tapped knows the name."""
    def state(self) -> list[tuple[str, str, torch.Tensor, str]]:
        """The tensors themselves: (path, initializer, tensor, role), parameters first."""
    def set_mask(self, parameter: str, mask: torch.Tensor | None, latent: bool = False) -> None:
        """Sets the mask of a parameter (bool, true keeps), or removes it (None)."""
    def apply_masks(self) -> None:
        """Zeroes what the masks drop."""
    def masked(self) -> list[str]:
        """The parameters that have a mask."""
    def to_device(self, device: torch.device) -> None:
        """Moves everything; tensors stay the same objects."""
    def device(self) -> torch.device: ...
    def input_names(self) -> list[str]: ...
    def output_names(self) -> list[str]: ...
    def input_types(self) -> list[tuple[str, str]]:
        """(name, type with shape) of every input."""
    def nodes(self) -> list[tuple[str, str, list[str], list[str]]]:
        """(name, operator, inputs, outputs) of every node of the outermost graph, in order."""
    def roles(self) -> list[tuple[str, str]]:
        """(initializer, role) of every initializer."""
    def to_bytes(self) -> bytes:
        """The model with its values now, as the bytes of an ONNX file."""
    def save(self, path: str, external_data: bool = False) -> None:
        """Writes the model as ONNX."""

class RegisteredData:
    """Datasets that --data finds under `source`, while this lives."""
    @property
    def source(self) -> str: ...

class Session:
    """A model loaded by an engine."""
    def run(self, inputs: collections.abc.Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """CPU tensors in the order of `inputs`; contiguous ones are read where they are."""
    @property
    def inputs(self) -> list[tuple[str, str, list[int | str] | None]]: ...
    @property
    def outputs(self) -> list[tuple[str, str, list[int | str] | None]]: ...
    @property
    def precision(self) -> str: ...

def apply_masks(
    tensors: collections.abc.Sequence[torch.Tensor], masks: collections.abc.Sequence[torch.Tensor]
) -> None:
    """tensors[i] = masks[i] ? tensors[i] : 0, in place and outside of autograd."""

def arrow_dataset(
    stream: object,
    source: str,
    wanted: collections.abc.Sequence[tuple[str, torch.dtype, collections.abc.Sequence[int]]],
) -> Dataset:
    """From an Arrow stream (a capsule of __arrow_c_stream__)."""

def call_command(arguments: collections.abc.Sequence[str], listener: object = None) -> tuple:
    """Runs one command: (exit status, its text, its report as JSON or ''). Raises Error where the program would end with a message, KeyboardInterrupt on Ctrl-C. `listener` has log(level, message) and progress(title, done, total, note, finished)."""

def callback_dataset(
    fetch: collections.abc.Callable,
    size: int,
    fields: collections.abc.Sequence[tuple[str, torch.dtype, collections.abc.Sequence[int]]],
    labelled: bool,
) -> Dataset:
    """fetch(indices) gives (arrays, labels or None)."""

def check_quantize_options(options: str) -> None:
    """Throws Error for options that prepare_qat would refuse."""

def choose_qparams(
    min: torch.Tensor, max: torch.Tensor, quant_min: int, quant_max: int, symmetric: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales (float) and zero points (int32) for ranges, elementwise."""

def convert_module(module: GraphModule, options: str) -> GraphModule:
    """A new GraphModule with integer weights and QuantizeLinear/DequantizeLinear pairs."""

def describe_commands() -> str:
    """The commands with their options, as JSON (mc/cli/program.h)."""

def engines() -> list[tuple[str, str]]:
    """(name, why it is not available or '') of each engine."""

def erdos_renyi(
    dims: collections.abc.Sequence[collections.abc.Sequence[int]], sparsity: float, kernel: bool
) -> list[float]:
    """The sparsity of each weight, of these dims, whose total is `sparsity` (Mocanu et al. 2018; with `kernel` Evci et al. 2020)."""

def fake_quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    running_min: torch.Tensor,
    running_max: torch.Tensor,
    *,
    quant_min: int,
    quant_max: int,
    axis: int = -1,
    symmetric: bool = True,
    averaging: float = 0.01,
    observer: str = "moving_average",
    observe: bool = True,
    quantize: bool = True,
) -> torch.Tensor:
    """Observes the range of x (updating the state in place) and fake-quantizes it, with a straight-through gradient. State: float32 [C] but zero_point, int32 [C]; C is 1 where axis is -1."""

def keep_masks(
    scores: collections.abc.Sequence[torch.Tensor],
    sparsity: float,
    *,
    structure: str = "unstructured",
    absolute: bool = True,
    block_size: int = 1,
    block_dims: collections.abc.Sequence[int] = [1],
    pooling_type: str = "avg",
    n: int = 2,
    m: int = 4,
    threshold_decay: float = 0.0,
    threshold: float = 0.0,
    output_axis: int = 0,
    input_axis: int = 1,
    names: collections.abc.Sequence[str] = [],
) -> tuple[list[torch.Tensor], float]:
    """Masks (bool, true keeps) of tensors that compete with each other as if they were one, and the threshold. structure: unstructured, uniform (block_size), block (block_dims, pooling_type), n_m (n, m), nonzero; absolute: by |scores|."""

def magnitude_mask(weight: torch.Tensor, threshold: float) -> torch.Tensor:
    """1 where a magnitude exceeds the threshold, else 0; shape, type, device of the weight."""

def memory_dataset(
    names: collections.abc.Sequence[str],
    blocks: collections.abc.Sequence[tuple[collections.abc.Sequence[torch.Tensor], torch.Tensor | None]],
) -> Dataset:
    """Arrays by name; a block has one tensor a name, and labels or None."""

def model_inputs(file: str) -> list[tuple[str, torch.dtype, list[int]]]:
    """(name, dtype, shape of one sample; -1 where it is open) of each input of an ONNX file."""

def nth_magnitude(weights: collections.abc.Sequence[torch.Tensor], n: int) -> float:
    """The n-th smallest magnitude (from 1) of the elements of all weights together."""

def open_session(model: str, engine: str, threads: int, precision: str, device: str) -> Session:
    """Loads a model's file; precision and device as mc.Engine has them."""

def parse_module(
    onnx: bytes,
    device: torch.device,
    roles: collections.abc.Sequence[tuple[str, str]] = [],
    given: collections.abc.Mapping[str, torch.Tensor] = {},
) -> GraphModule:
    """A GraphModule of the bytes of an ONNX file; `given` are tensors that it takes for its own."""

def prepare_qat(module: GraphModule, options: str) -> list[tuple[str, str, bool, str]]:
    """Inserts quantizers; gives (node, operator, quantized, reason) of every layer. Options as JSON."""

def read_module(
    path: str,
    device: torch.device,
    roles: collections.abc.Sequence[tuple[str, str]] = [],
    given: collections.abc.Mapping[str, torch.Tensor] = {},
) -> GraphModule:
    """A GraphModule of an ONNX file; `given` are tensors that it takes for its own."""

def read_parquet_with(read: collections.abc.Callable) -> None:
    """From now on read(paths) reads Parquet files: what it gives has __arrow_c_stream__."""

def register_data(splits: collections.abc.Mapping[str, Dataset]) -> RegisteredData:
    """Datasets by split ('' where there are none)."""

def run_command(arguments: collections.abc.Sequence[str]) -> tuple[int, str, str]:
    """Runs one command without printing: (exit status, what it would print to stdout, error or '')."""

def run_program(arguments: collections.abc.Sequence[str]) -> int:
    """Runs one command of the command line, printing as the program does; gives its exit status."""

def set_phase(module: GraphModule, *, observe: bool, quantize: bool, freeze_batch_norm: bool) -> None:
    """Whether quantizers observe, whether they quantize, and whether batch norm's statistics stay."""

def settle_biases(module: GraphModule, options: str) -> int:
    """Moves biases onto the values that integer kernels add; gives how many."""
