"""What the tests of the page's parts share: a service, one visitor's session, one uploaded clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from app_helpers import chromium
from page_helpers import opened_events
from playwright.sync_api import Browser
from service_helpers import opened_service, upload

from demo.page_events import PageEvents
from demo.service import Service
from demo.sessions import Session


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with opened_service(tmp_path) as service:
        yield service


@pytest.fixture
def me(service: Service) -> Session:
    return service.sessions.get("me")


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return upload(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def events(tmp_path: Path) -> Iterator[PageEvents]:
    with opened_events(tmp_path / "root") as events:
        yield events
