"""Writes the backend node tests of the installed onnx package as folders: write_backend_cases.py DIR

Then: model-compression conformance DIR --list failed
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

from backend_cases import node_cases, write_cases

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty")
    write_cases(folder)
    print(f"{len(node_cases())} cases in {folder}")
