"""``python -m langtrack_core``"""

import sys

from .cli import main

sys.exit(main())
