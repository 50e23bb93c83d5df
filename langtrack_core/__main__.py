"""``python -m langtrack_core``"""

import os
import sys
from pathlib import Path

# timm imports PyTorch's compiler, which makes its cache folder at once, in the temporary one by default.
# Nothing is compiled here: pointed at a folder that is there already, it leaves none behind.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parent))
# NumPy's matrix products are small here: more threads would only wait for each other, and for the networks'.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if __name__ == "__main__":
    from .cli import main  # imports NumPy, which reads the environment once

    sys.exit(main())
