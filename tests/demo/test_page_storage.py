"""What the page's modules keep in the browser's storage, run by node without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from demo.page_data import PAGE

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node here; the product needs none")
STORAGE = """
globalThis.localStorage = {};
const hidden = { enumerable: false };
Object.defineProperties(localStorage, {
  getItem: { ...hidden, value: (name) => localStorage[name] ?? null },
  setItem: { ...hidden, value: (name, text) => (localStorage[name] = text) },
  removeItem: { ...hidden, value: (name) => delete localStorage[name] },
});
"""
"""A browser's storage: its names are its own keys, its methods are not."""


def printed(program: str) -> Any:
    """The JSON that a program prints; `PAGE` in it is the address of the modules."""
    text = (STORAGE + program).replace("PAGE", PAGE.as_uri())
    command = [str(NODE), "--input-type=module", "--eval", text]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_the_token_stays_while_any_run_of_the_page_has_work() -> None:
    noted = printed("""
    const { notePage } = await import("PAGE/shelf.js");
    const seen = [];
    function note(token, work) {
      notePage(token, work);
      seen.push(JSON.parse(localStorage["langtrack-pages"] || "[]"));
    }
    note("one", { clip: "a.mp4", judged: 12 });
    note("one", undefined); // an answer that says nothing of it
    note(undefined, null); // a page without a session
    note("two", { clip: "b.mp4", judged: 0 });
    note("one", null);
    console.log(JSON.stringify(seen.map((list) => list.map(({ time, ...entry }) => entry))));
    """)
    one = {"token": "one", "clip": "a.mp4", "judged": 12}
    two = {"token": "two", "clip": "b.mp4", "judged": 0}
    assert noted == [[one], [one], [one], [two, one], [two]]
