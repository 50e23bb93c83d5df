"""``python -m langtrack_core``"""

import os
import sys
from pathlib import Path

from .cli import main

# timm imports PyTorch's compiler, which makes its cache folder at once, in the temporary one by default.
# Nothing is compiled here: pointed at a folder that is there already, it leaves none behind.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parent))
sys.exit(main())
