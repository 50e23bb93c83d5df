// Buttons, mouse, touch and keyboard of the player.
import { make } from "./dom.js";

// What the list of all keys says.
const KEY_TEXTS = [
  [["space"], "play or pause"],
  [["←", "→"], "one frame; with shift ten"],
  [["Home", "End"], "first and last frame"],
  [["[", "]"], "the range begins or ends here"],
  [["\\"], "the whole clip again"],
  [["Z"], "enlarge a view"],
  [["+", "−", "0"], "closer, farther, the whole picture; the wheel while a view is large or a box is drawn"],
  [["H"], "heat map"],
  [["L", "T"], "language right, tracker right"],
  [["B", "N"], "both right, neither right"],
  [["A"], "the object is absent"],
  [["X"], "clear the verdict"],
  [["D"], "next disagreement"],
  [["R", "Enter"], "draw a box; run again from it"],
  [["U"], "undo the last correction"],
  [["J", "K"], "next and previous clip of a list"],
  [["1", "2", "3"], "clip right, partly, wrong"],
  [["4", "5", "6"], "clip absent, unclear, no verdict"],
  [["Esc"], "stop drawing a box"],
  [["?"], "these keys"],
];

export function controls(player, { judge, nextDisagreement, correctionKeys, closer }) {
  const { all, find, panels, parts, root, video } = player;
  const slider = find(".lt-range");

  const STEPS = {
    first: () => player.seek(0),
    back: () => player.seek(player.here - 1),
    play: () => player.playOrPause(),
    on: () => player.seek(player.here + 1),
    last: () => player.seek(player.last),
    from: () => player.setRange(player.here, player.range.to > player.here ? player.range.to : player.last),
    to: () => player.setRange(player.range.from < player.here ? player.range.from || 0 : 0, player.here),
    whole: () => player.setRange(null, null),
  };
  all("[data-do]").forEach((button) => button.addEventListener("click", () => player.run && STEPS[button.dataset.do]()));
  find(".lt-speed select").addEventListener("change", (event) => (video.playbackRate = Number(event.target.value)));

  function zoom(panel) {
    const big = !panel.classList.contains("lt-big");
    for (const other of panels) {
      const on = other === panel && big;
      other.classList.toggle("lt-big", on);
      other.querySelector(".lt-zoom").setAttribute("aria-pressed", on);
    }
    root.classList.toggle("lt-zoomed", big);
    player.emit("look");
  }

  function setView(view) {
    const radio = find(`[name=lt-view][value=${view}]`);
    radio.checked = true;
    radio.dispatchEvent(new Event("change"));
  }

  for (const panel of panels) {
    const screen = panel.querySelector(".lt-screen");
    panel.querySelector(".lt-zoom").addEventListener("click", () => zoom(panel));
    screen.addEventListener("click", () => player.draft.on || player.playOrPause());
    screen.addEventListener("dblclick", () => player.run && !player.draft.on && zoom(panel));
  }

  const tabs = all("[role=tab]");
  const open = (tab) => player.openTool(tab.id.replace("lt-tab-", ""));
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -k, End: tabs.length - 1 - k }[event.key];
      if (step === undefined) return;
      const next = tabs[(k + step + tabs.length) % tabs.length];
      open(next);
      next.focus();
      event.preventDefault();
      event.stopPropagation();
    });
  });

  const help = find(".lt-help");
  const rows = KEY_TEXTS.map(([names, text]) => {
    const row = make("tr");
    const cell = make("td");
    cell.append(...names.map((name) => make("kbd", name)));
    row.append(cell, make("td", text));
    return row;
  });
  const table = make("table");
  table.append(...rows);
  const form = make("form", "", { method: "dialog" });
  form.append(make("button", "Close", { class: "lt-button" }));
  help.replaceChildren(make("h3", "All keys"), table, form);
  help.addEventListener("keydown", (event) => event.key === "?" && help.close());
  find(".lt-help-button").addEventListener("click", () => help.showModal());

  const KEYS = {
    ArrowLeft: (event) => player.seek(player.here - (event.shiftKey ? 10 : 1)),
    ArrowRight: (event) => player.seek(player.here + (event.shiftKey ? 10 : 1)),
    Home: STEPS.first,
    End: STEPS.last,
    " ": STEPS.play,
    z: (event) => zoom(event.target.closest(".lt-panel") || find(".lt-panel.lt-big") || panels.at(-1)),
    h: () => setView(player.look.view === "heat" ? "mask" : "heat"),
    "+": () => closer.by(1.5),
    "=": () => closer.by(1.5),
    "-": () => closer.by(1 / 1.5),
    0: () => closer.fit(),
    "[": STEPS.from,
    "]": STEPS.to,
    "\\": STEPS.whole,
    l: () => judge("language"),
    t: () => judge("tracker"),
    b: () => judge("both"),
    n: () => judge("neither"),
    a: () => judge("absent"),
    x: () => judge(null),
    d: () => nextDisagreement(),
    ...correctionKeys,
    "?": () => help.open || help.showModal(),
  };

  function onKey(event) {
    if (!root.isConnected) return document.removeEventListener("keydown", onKey);
    if (!player.run || event.ctrlKey || event.metaKey || event.altKey || root.offsetParent === null) return;
    if (root.dataset.state !== "done") return; // while a job computes, the run and its buttons are hidden
    const at = event.target;
    const ours = parts.some((part) => part.contains(at));
    const typing = at !== slider && at.closest("input, textarea, select, [contenteditable], [role=dialog], dialog");
    const steering = event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End";
    if (typing && !(ours && event.key.length === 1 && event.key !== " " && at.matches("[type=radio], [type=checkbox]"))) return;
    if (!ours && at !== document.body) return; // other controls keep their keys
    if ((event.key === " " || event.key === "Enter") && ours && at.matches("button, a, summary")) return;
    if (steering && ours && at.matches("[role=tab]")) return;
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    if (event.repeat && !steering) return; // a key that is held down would ask the server thirty times a second
    action(event);
  }
  document.addEventListener("keydown", onKey);
}
