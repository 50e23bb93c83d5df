"""``python -m langtrack_core``, and the script ``langtrack`` of an installation."""

import os
import sys
import tempfile


def main() -> int:
    """Sets what libraries read from the environment when they are imported, then runs the command line."""
    # NumPy's matrix products are small here: more threads would wait for each other and for the networks'.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # timm imports PyTorch's compiler, which makes its cache folder at once. Nothing is compiled here: with a
    # folder that is there already, none is left behind.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())

    from . import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
