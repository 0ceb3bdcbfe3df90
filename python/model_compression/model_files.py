"""Models that Python holds as the files that the native core reads."""

import os
import tempfile
from pathlib import Path

from model_compression._commands import file_name

_LARGEST_MESSAGE = 2**31 - 1  # of protobuf


class ModelFiles:
    """A folder for models that are in no file, gone with the object."""

    def __init__(self):
        self._folder = None
        self._made = 0

    def new(self, name: str) -> str:
        """A path in the folder."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="model_compression_")
        self._made += 1
        return str(Path(self._folder.name) / name)

    def path(self, model, where: str = "model") -> str:
        """The file of a path, of ONNX bytes, an onnx.ModelProto, or what has `to_onnx_bytes()` (mc.Module)."""
        if isinstance(model, (str, os.PathLike)):
            return file_name(where, model)
        name = "model.onnx" if self._made == 0 else f"model{self._made}.onnx"
        if isinstance(model, (bytes, bytearray, memoryview)):
            return self._write(name, model)
        if hasattr(model, "to_onnx_bytes"):
            return self._write(name, model.to_onnx_bytes())
        if hasattr(model, "SerializeToString") and hasattr(model, "graph"):
            return self._save_proto(name, model)
        raise TypeError(
            f"{where} is a path, ONNX bytes, an onnx.ModelProto or a model_compression.Module, "
            f"not {type(model).__name__}"
        )

    def _write(self, name: str, content) -> str:
        path = self.new(name)
        Path(path).write_bytes(content)
        return path

    def _save_proto(self, name: str, model) -> str:
        if model.ByteSize() < _LARGEST_MESSAGE:
            return self._write(name, model.SerializeToString())
        import onnx

        path = self.new(name)
        copy = onnx.ModelProto()
        copy.CopyFrom(model)  # saving with external data empties the tensors
        onnx.save_model(copy, path, save_as_external_data=True, location=f"{name}.data")
        return path
