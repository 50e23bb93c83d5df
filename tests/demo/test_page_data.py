"""The facts that Python sends to the page."""

from __future__ import annotations

import json
from typing import get_args

from demo.annotation.redecide import FusionOverrides, Rectangle, Rule
from demo.job import Kind, Stage
from demo.page_data import page_data, page_style
from langtrack_core.types import Reason


def test_the_page_has_a_text_for_everything_that_it_is_sent() -> None:
    page = json.loads(json.dumps(page_data()))
    assert set(page["stages"]) == set(get_args(Stage))
    assert set(page["kinds"]) == set(get_args(Kind))
    assert set(page["reasons"]) == set(Reason)
    settings = {setting["name"]: setting for setting in page["settings"]}
    assert set(settings["rule"].pop("choices")) == set(get_args(Rule))
    assert set(settings["rectangle"].pop("choices")) == set(get_args(Rectangle))
    recorded = FusionOverrides().to_json()
    assert set(settings) == set(recorded)
    for name in settings.keys() - {"rule", "rectangle"}:
        assert settings[name]["low"] <= recorded[name] <= settings[name]["high"]


def test_the_style_sheet_has_the_colours_of_the_branches() -> None:
    page = page_data()
    for branch in ("language", "tracker"):
        assert f"--lt-{branch}: rgb{page['colours'][branch]};" in page_style()
