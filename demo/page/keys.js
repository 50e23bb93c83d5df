// Mouse, touch and keyboard of the player.
const ACTIONS = {
  first: () => seek(0),
  back: () => seek(here() - 1),
  play: playOrPause,
  on: () => seek(here() + 1),
  last: () => seek(last()),
  from: () => setLoop(here(), loop.to !== null && loop.to > here() ? loop.to : last()),
  to: () => setLoop(loop.from !== null && loop.from < here() ? loop.from : 0, here()),
  whole: () => setLoop(null, null),
};
all("[data-do]").forEach((button) => button.addEventListener("click", () => doc && ACTIONS[button.dataset.do]()));
find(".lt-speed select").addEventListener("change", (event) => (film.playbackRate = Number(event.target.value)));
film.loop = true;

// A range of frames: it plays in a loop, and a verdict counts for all of it.
function setLoop(from, to) {
  Object.assign(loop, { from, to });
  const text = from === null ? "whole clip" : "frames " + from + " to " + to;
  find(".lt-loop-text").textContent = text;
  root.classList.toggle("lt-has-loop", from !== null);
  drawStrip();
  describeTools(shown);
}

function zoom(panel) {
  const big = !panel.classList.contains("lt-big");
  panels.forEach((other) => {
    const on = other === panel && big;
    other.classList.toggle("lt-big", on);
    other.querySelector(".lt-zoom").setAttribute("aria-pressed", on);
  });
  root.classList.toggle("lt-zoomed", big);
  paint();
}
const zoomOne = (near) => zoom(near || panels.find((panel) => panel.classList.contains("lt-big")) || panels[3]);

function setView(view) {
  const radio = all("[name=lt-view]").find((one) => one.value === view);
  radio.checked = true;
  radio.dispatchEvent(new Event("change"));
}

panels.forEach((panel) => {
  panel.querySelector(".lt-zoom").addEventListener("click", () => zoom(panel));
  panel.querySelector(".lt-screen").addEventListener("click", () => doc && !drawing() && playOrPause());
  panel.querySelector(".lt-screen").addEventListener("dblclick", () => doc && !drawing() && zoom(panel));
});

const KEYS = {
  ArrowLeft: (event) => seek(here() - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => seek(here() + (event.shiftKey ? 10 : 1)),
  Home: () => seek(0),
  End: () => seek(last()),
  " ": playOrPause,
  z: (event) => zoomOne(event.target.closest && event.target.closest(".lt-panel")),
  h: () => setView(look.view === "heat" ? "mask" : "heat"),
  "[": ACTIONS.from,
  "]": ACTIONS.to,
  "\\": ACTIONS.whole,
  l: () => judge("language"),
  t: () => judge("tracker"),
  b: () => judge("both"),
  n: () => judge("neither"),
  a: () => judge("absent"),
  x: () => judge(null),
  d: () => nextDisagreement(),
  Escape: () => stopDrawing(),
};

function onKey(event) {
  if (!root.isConnected) return document.removeEventListener("keydown", onKey);
  if (!doc || event.ctrlKey || event.metaKey || event.altKey || root.offsetParent === null) return;
  const at = event.target;
  const ours = root.contains(at);
  const typing = at !== range && at.closest && at.closest("input, textarea, select, [contenteditable], [role=dialog]");
  const steering = event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End";
  if (typing && !(ours && event.key.length === 1 && event.key !== " " && at.matches("[type=radio], [type=checkbox]"))) return;
  if (!ours && at !== document.body) return; // other controls keep their keys
  if (event.key === " " && ours && at.matches("button, a")) return;
  if (steering && ours && at.matches("[role=tab]")) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  action(event);
  event.preventDefault();
}
document.addEventListener("keydown", onKey);
