"""Settings of a server from its environment."""

from __future__ import annotations

import pytest

from demo.settings import Settings
from langtrack_core.types import LangTrackError


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_env({}) == Settings()
    changed = Settings.from_env({"LANGTRACK_MAX_FILE_MB": "20", "LANGTRACK_MAX_SECONDS": "2.5"})
    assert changed.max_file_mb == 20 and changed.max_seconds == 2.5
    for value in ("-1", "x", "1.5", "nan"):
        with pytest.raises(LangTrackError, match="LANGTRACK_QUEUE_SIZE"):
            Settings.from_env({"LANGTRACK_QUEUE_SIZE": value})
