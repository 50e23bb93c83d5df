"""A Python process that finds only what every system has, and output streams in an old Windows code page.

`environ` gives the environment of such a process; the processes that it starts, such as a batch's
workers, are alike.
"""

from __future__ import annotations

import os
from pathlib import Path

HIDDEN = """
import os, sys
import psutil  # it has a module for each system; that for Linux may use what Linux has
for name in ("fcntl", "resource", "pwd", "grp", "syslog"):
    sys.modules[name] = None
for name in ("O_NOFOLLOW", "O_DIRECTORY", "getuid", "geteuid", "killpg"):
    delattr(os, name)
"""

ROOT = Path(__file__).resolve().parents[2]


def environ(folder: Path) -> dict[str, str]:
    """
    Args:
        folder: for the file that Python runs at its start; temporary files and the home go there too, since
            without ``fcntl`` a lock is the file itself, and one that this system left would never be free.
    """
    (folder / "sitecustomize.py").write_text(HIDDEN, encoding="utf-8")
    search = os.pathsep.join(map(str, (folder, ROOT, ROOT / "tests" / "helpers")))
    return {
        **os.environ,
        "PYTHONPATH": search,
        "PYTHONIOENCODING": "cp1252",
        "PYTHONWARNDEFAULTENCODING": "1",
        "TMPDIR": str(folder),
        "LANGTRACK_HOME": str(folder / "home"),
    }
