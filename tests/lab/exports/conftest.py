from __future__ import annotations

import pytest
from export_clips import Exported, made


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return made(tmp_path_factory.mktemp("export"))
