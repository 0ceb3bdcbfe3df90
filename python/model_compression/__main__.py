"""`python -m model_compression`: the command line, in this process."""

import sys

from model_compression import _core
from model_compression.data import read_parquet


def main() -> int:
    """Runs the command that the process's arguments name; gives its exit status."""
    _core.read_parquet_with(read_parquet)
    return _core.run_program(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
