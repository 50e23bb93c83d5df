// The tools below the player: one tab each. What they ask of the server goes out as one event per question;
// the answer comes back in `props.reply`.
const tabs = all("[role=tab]");
const ask = {}; // data-ask -> what it does; filled by the tools

function openTab(tab) {
  tabs.forEach((other) => {
    const on = other === tab;
    other.setAttribute("aria-selected", on);
    other.tabIndex = on ? 0 : -1;
    root.querySelector("#" + other.getAttribute("aria-controls")).hidden = !on;
  });
  if (doc) describeTools(shown);
}
const openTool = (name) => openTab(find("#lt-tab-" + name));
tabs.forEach((tab, k) => {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -k, End: tabs.length - 1 - k }[event.key];
    if (step === undefined) return;
    const next = tabs[(k + step + tabs.length) % tabs.length];
    openTab(next);
    next.focus();
    event.preventDefault();
    event.stopPropagation();
  });
});
all("[data-ask]").forEach((button) => button.addEventListener("click", () => doc && ask[button.dataset.ask](button)));

// One line above the open tool: what was done, or what is wrong.
function complain(text, kind = "error") {
  const said = find(".lt-said");
  said.textContent = text || "";
  said.dataset.kind = text ? kind : "";
}

function make(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  return node;
}

function describeTools(place) {
  if (!doc || place < 0) return;
  const ranged = loop.from !== null;
  const where = ranged ? "Frames " + doc.index[loop.from] + " to " + doc.index[loop.to] : "Frame " + doc.index[place];
  all(".lt-where").forEach((line) => (line.textContent = (line.closest("#lt-correct") ? "From frame " + doc.index[place] + " of " : where + " of ") + "“" + target().name + "”"));
  describeJudge(place);
}

// --- a box drawn on the standing frame ----------------------------------------------------------------------

const draft = { on: false, place: -1, box: null }; // pixels of the clip
const drawing = () => draft.on;

function stopDrawing() {
  draft.on = false;
  root.classList.remove("lt-drawing");
  find('[data-ask="draw"]').setAttribute("aria-pressed", false);
}

ask.draw = () => {
  if (draft.on) return stopDrawing();
  film.pause();
  draft.on = true;
  root.classList.add("lt-drawing");
  find('[data-ask="draw"]').setAttribute("aria-pressed", true);
  complain("Drag a box around the object, in any of the four views.", "tip");
};

function draftOn(context) {
  if (draft.box && draft.place === shown) outline(context, cornersOf(draft.box), [255, 191, 51], true);
}

function setDraft(box, write = true) {
  draft.box = box;
  draft.place = shown;
  if (write) find(".lt-box").value = box ? box.map((value) => Math.round(value)).join(",") : "";
  paint();
}

find(".lt-box").addEventListener("input", (event) => {
  const numbers = event.target.value.split(/[\s,;]+/).filter(Boolean).map(Number);
  const fits = numbers.length === 4 && numbers.every(Number.isFinite) && numbers[2] > numbers[0] && numbers[3] > numbers[1];
  setDraft(fits ? numbers : null, false);
});

panels.forEach((panel) => {
  const canvas = panel.querySelector("canvas");
  let start = null;
  const pixel = (event) => {
    // object-fit: contain may leave bars beside the picture
    const bounds = canvas.getBoundingClientRect();
    const fit = Math.min(bounds.width / canvas.width, bounds.height / canvas.height);
    const [w, h] = [canvas.width * fit, canvas.height * fit];
    const x = (event.clientX - bounds.left - (bounds.width - w) / 2) / w;
    const y = (event.clientY - bounds.top - (bounds.height - h) / 2) / h;
    return [Math.max(0, Math.min(1, x)) * doc.size[0], Math.max(0, Math.min(1, y)) * doc.size[1]];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!doc || !draft.on || event.button > 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    start = pixel(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = pixel(event);
    setDraft([Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)]);
  });
  canvas.addEventListener("pointerup", () => {
    if (!start) return;
    start = null;
    const small = !draft.box || draft.box[2] - draft.box[0] < 2 || draft.box[3] - draft.box[1] < 2;
    if (small) return setDraft(null);
    complain("");
    openTool("correct");
    setTimeout(stopDrawing); // the click that ends the drag must not start the film
  });
});
