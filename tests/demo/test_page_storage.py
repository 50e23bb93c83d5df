"""What the page's modules keep in the browser's storage, run by node without a browser."""

from __future__ import annotations

import json
from typing import Any

from page_modules import run_by_node

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


PLAYER = """
globalThis.window = { addEventListener() {} };
const without = { setAttribute() {}, addEventListener() {} };
const node = () => ({ ...without, replaceChildren(...parts) { this.parts = parts } });
globalThis.document = { createElement: node };
const [line, saved, listeners] = [node(), node(), {}];
const target = (id, start, box_xyxy) => ({
  ...{ id, expression: "the red car", edits: [{ start, box_xyxy }] },
  ...{ verdicts: { frames: {} }, rows: Array.from({ length: 20 }, (_, k) => k) },
});
const player = {
  find: (selector) => (selector === ".lt-restore" ? line : saved),
  on: (name, listener) => (listeners[name] = listener),
  ...{ emit() {}, run: { key: "k", clip: { sha256: "s" } } },
};
const { autosave } = await import("PAGE/autosave.js");
"""
"""As much of a player as `autosave` needs, in such a storage."""


def printed(program: str) -> Any:
    """The JSON that a program prints, with such a storage; see `run_by_node`."""
    return json.loads(run_by_node(STORAGE + program))


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


def test_targets_of_the_same_words_have_a_copy_each() -> None:
    seen = printed(
        PLAYER
        + """
    const [first, second, words, later] = [
      ...[target(1, 8, [1, 2, 3, 4]), target(2, 8, [5, 6, 7, 8])],
      ...[target(3, 0, null), target(4, 8, null)],
    ];
    const { change } = autosave(player, { question: () => new Promise(() => {}) });
    function judge(target, frames) {
      for (let frame = 0; frame < frames; frame++)
        target.verdicts.frames[frame] = { verdict: "both", note: "", stale: false };
      change(target, [{ first: 0, last: frames - 1, verdict: "both", note: null }]);
    }
    function offered(target) {
      player.target = target;
      listeners.target();
      return !line.hidden;
    }
    judge(first, 8);
    judge(words, 2);
    const before = offered(second);
    judge(second, 1);
    first.verdicts.frames = {}; // as in the same run made anew
    const names = Object.keys(localStorage);
    console.log(JSON.stringify({ before, again: offered(first), later: offered(later), names }));
    process.exit(0);
    """
    )
    assert not seen["before"] and seen["again"] and not seen["later"]
    assert "langtrack-verdicts:s:the red car" in seen["names"] and len(seen["names"]) == 3


def test_verdicts_that_did_not_reach_the_server_are_offered_beside_those_that_did() -> None:
    seen = printed(
        PLAYER
        + """
    let reached = true;
    const one = (verdict) => ({ verdict, note: "", stale: false });
    const answer = () => ({ verdicts: { frames: { ...kept.verdicts.frames } } });
    const question = async () => (reached ? answer() : new Promise(() => {}));
    const { change } = autosave(player, { question });
    const offered = () => {
      listeners.target();
      return line.hidden ? "" : line.parts[0].textContent;
    };
    const kept = (player.target = target(1, 0, null));
    async function judge(frame, verdict) {
      kept.verdicts.frames[frame] = one(verdict);
      change(kept, [{ first: frame, last: frame, verdict, note: null }]);
      await new Promise((resolve) => setTimeout(resolve));
    }
    await judge(0, "both");
    await judge(1, "both");
    kept.verdicts.frames = { 0: one("both") }; // as after a run of the same words that was judged elsewhere
    const sent = offered();
    reached = false;
    await judge(0, "absent");
    await judge(5, "both");
    kept.verdicts.frames = { 0: one("both") }; // as when the page is loaded again
    console.log(JSON.stringify([sent, offered()]));
    process.exit(0);
    """
    )
    assert seen[0] == "" and "earlier verdicts on 2 frames" in seen[1]
