"""Arrays of other libraries as tensors, and back, without copying where their layout allows."""

import warnings

import numpy as np
import torch


def as_tensor(value, where: str) -> torch.Tensor:
    """A tensor on the CPU that shares the memory of a tensor, a NumPy array or anything with __dlpack__.

    Copied are only tensors on other devices, arrays with negative strides or of foreign byte order, and lists
    of numbers.
    """
    if isinstance(value, torch.Tensor):
        return _from_torch(value, where)
    if isinstance(value, (list, tuple, int, float, np.generic)):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if isinstance(value, np.ndarray):
        return _from_numpy(value, where)
    if hasattr(value, "__dlpack__"):
        try:
            return _from_torch(torch.from_dlpack(value), where)
        except (BufferError, RuntimeError, TypeError) as error:
            raise TypeError(f"{where}: its __dlpack__ gives no tensor: {error}") from None
    if hasattr(value, "__array__"):
        return _from_numpy(np.asarray(value), where)
    raise TypeError(f"{where} is an array or a tensor, not {type(value).__name__}")


def _from_torch(tensor: torch.Tensor, where: str) -> torch.Tensor:
    if tensor.layout != torch.strided:
        raise TypeError(f"{where} is sparse ({tensor.layout}); give its to_dense()")
    if tensor.device.type == "meta":
        raise TypeError(f"{where} has no values: it is on the device meta")
    return tensor.detach().cpu()


def _from_numpy(array: np.ndarray, where: str) -> torch.Tensor:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        with warnings.catch_warnings():
            # The core does not write to its inputs, so an array may be read-only.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array)
    except TypeError:
        raise TypeError(f"{where} has elements of {array.dtype}, which are no numbers for a model") from None
