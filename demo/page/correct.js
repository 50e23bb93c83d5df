// The tools below the player: one tab each. A question to the server is one event with a number; the answer
// comes back in `props.reply` with the same number.
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
  const where = ranged ? "Frames " + loop.from + " to " + loop.to : "Frame " + place;
  find("#lt-judge .lt-where").textContent = where + " of " + titleOf(target());
  find("#lt-correct .lt-where").textContent = titleOf(target()) + ", from frame " + place;
  describeJudge(place);
  paintGrid();
  drawOverlaps();
}

const titleOf = (who) => (who.expression ? "“" + who.expression + "”" : "the object in your box");

// --- questions ----------------------------------------------------------------------------------------------

const pending = new Map();
let asked = 0;

// Resolves with the answer; one that says "error" is shown and resolves with null.
function question(event, what) {
  asked += 1;
  trigger(event, { n: asked, target: doc && target().id, ...what });
  return new Promise((answer) => pending.set(asked, answer));
}

watch("reply", () => {
  const reply = props.reply;
  if (!reply || !pending.has(reply.n)) return;
  const answer = pending.get(reply.n);
  for (const n of [...pending.keys()]) if (n <= reply.n) pending.delete(n); // older ones were overtaken
  if (reply.error) complain(reply.error);
  answer(reply.error ? null : reply);
});

async function uploaded(files) {
  complain("Sending " + (files.length === 1 ? files[0].name : files.length + " files") + "…", "tip");
  try {
    const there = [];
    for (const file of files) there.push((await upload(file)).path);
    complain("");
    return there;
  } catch (error) {
    complain("The file did not reach the server; it may be too large.");
    return null;
  }
}

function save(file) {
  const anchor = make("a", "", { href: file.file.url, download: file.name });
  root.append(anchor);
  anchor.click();
  anchor.remove();
}

all("[data-upload]").forEach((input) =>
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    const paths = doc && files.length ? await uploaded(files) : null;
    if (paths) takeUpload(input.dataset.upload, paths);
  }),
);
function takeUpload(what, paths) {
  if (what === "truth") return askTruth(paths);
  question("act", { do: "load_verdicts", paths }).then((reply) => reply && (takeVerdicts(reply), complain("The verdicts are loaded.", "good")));
}

ask.save = async () => {
  complain("Packing…", "tip");
  const reply = await question("act", { do: "save" });
  if (reply) save(reply.download), complain("Saved. “Open a saved run” brings it back, here or on another machine.", "good");
};
ask.export = () => question("work", { do: "export" });

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

// Regions that the words could mean, numbered.
function hintsOn(context) {
  if (hints.place !== shown || find("#lt-words").hidden) return;
  const [sx, sy] = scale(context.canvas);
  for (const { box, label } of hints.boxes) {
    outline(context, cornersOf(box), [255, 255, 255], true);
    plate(context, label, box[0] * sx, box[1] * sy, [255, 255, 255]);
  }
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

// --- correct and go on --------------------------------------------------------------------------------------

function given() {
  const box = draft.box && draft.place === here() ? find(".lt-box").value : "";
  return { frame: here(), text: find(".lt-sentence").value.trim(), box };
}
ask.correct = () => question("work", { do: "correct", direction: find("[name=lt-direction]:checked").value, ...given() });
ask.add = () => question("work", { do: "add", ...given() });
ask.undo = () => question("act", { do: "undo" });

function describeCorrect() {
  find('[data-ask="undo"]').disabled = !target().can_undo;
  find(".lt-edits").replaceChildren(
    ...target().edits.map((edit) => {
      const said = [edit.expression ? "“" + edit.expression + "”" : "", edit.box_xyxy ? "a box" : ""].filter(Boolean).join(" and ");
      return make("li", "frames " + edit.frames[0] + " to " + edit.frames[1] + ": " + said + (edit.complete ? "" : " (cancelled)"));
    }),
  );
}
