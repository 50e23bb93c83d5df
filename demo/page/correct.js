// Corrections: a box drawn on the present frame, or a better sentence, from which the run is made anew.
import { make, titleOf } from "./dom.js";
import { isPan, pixelAt } from "./zoom.js";

// Smallest side of a drawn box in pixels of the clip; a smaller one was a click.
const MIN_SIDE = 2;

// What a click or a drag in a view may mean, and what a person is told then.
const MODES = {
  draw: "Drag a box around the object, in any of the four views.",
  this: "Click on the object that is meant, in any of the four views.",
  "not-this": "Click on the thing that is wrong; the track is made anew with another one that the words fit.",
};

export function correctTool(player, server) {
  const { draft, find, video } = player;
  const boxField = find(".lt-box");
  const sentence = find(".lt-sentence");

  let typed = false; // whether the box was typed: it is then of the frame that is shown, whichever that is

  // `mode` is what the next click or drag in a view means: a key of MODES, or "" for nothing.
  function setMode(mode) {
    draft.on = mode;
    player.root.classList.toggle("lt-drawing", Boolean(mode));
    for (const name of Object.keys(MODES)) find(`[data-ask="${name}"]`).setAttribute("aria-pressed", name === mode);
  }

  function setDraft(box) {
    draft.box = box;
    draft.frame = player.frame;
    player.emit("look");
  }

  function setBox(box) {
    typed = false;
    boxField.value = box ? box.map((value) => Math.round(value)).join(",") : "";
    setDraft(box);
  }

  // The tip goes with its mode.
  function giveUp() {
    if (player.message === MODES[draft.on]) player.notify("");
    setMode("");
  }

  function toggle(mode) {
    if (draft.on === mode) return giveUp();
    video.pause();
    setMode(mode);
    player.notify(MODES[mode], "tip");
    const grid = find(".lt-grid").getBoundingClientRect();
    if (grid.top < 0 || grid.bottom > window.innerHeight) find(".lt-grid").scrollIntoView({ block: grid.height < window.innerHeight ? "nearest" : "start", behavior: "instant" });
  }

  // The track is made anew from the region that was clicked, or from the largest other one.
  function point([x, y], right) {
    server.question("work", { do: "point", frame: player.here, x, y, right, direction: direction() });
  }

  const direction = () => find("[name=lt-direction]:checked").value;

  for (const panel of player.panels) {
    const canvas = panel.querySelector("canvas");
    let [start, taken] = [null, false]; // where a drag began; whether the click that ends it was for this tool
    canvas.addEventListener("pointerdown", (event) => {
      taken = false;
      if (!player.run || !draft.on || event.button > 0 || isPan(event)) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      start = pixelAt(event, canvas, player.run.size);
      taken = true;
    });
    canvas.addEventListener("click", (event) => taken && event.stopPropagation()); // it must not start the video
    canvas.addEventListener("pointermove", (event) => {
      if (!start || draft.on !== "draw") return;
      const [x, y] = pixelAt(event, canvas, player.run.size);
      setBox([Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)]);
    });
    canvas.addEventListener("pointerup", () => {
      if (!start) return;
      const [place, mode] = [start, draft.on];
      start = null;
      if (!mode) return setBox(null); // it was given up meanwhile
      if (mode !== "draw") {
        setMode("");
        return point(place, mode === "this");
      }
      const { box } = draft;
      if (!box || box[2] - box[0] < MIN_SIDE || box[3] - box[1] < MIN_SIDE) return setBox(null);
      player.notify("");
      player.openTool("correct");
      player.root.focus({ preventScroll: true }); // for Enter, which would press the button that began it
      setMode("");
    });
    // The browser takes the finger for a gesture of its own.
    canvas.addEventListener("pointercancel", () => {
      if (start) setBox(null);
      start = null;
    });
  }

  boxField.addEventListener("input", () => {
    video.pause();
    const numbers = boxField.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    const fits = numbers.length === 4 && numbers.every(Number.isFinite) && numbers[2] > numbers[0] && numbers[3] > numbers[1];
    typed = fits;
    setDraft(fits ? numbers : null);
  });

  // Ask for a run with the box and the sentence; a drawn box is of its own frame alone.
  function run(work) {
    if (draft.box && !typed && draft.frame !== player.here) return player.notify("The box was drawn on frame " + draft.frame + ". Go back to it, or draw one on this frame.");
    server.question("work", { ...work, frame: player.here, text: sentence.value.trim(), box: boxField.value });
  }

  function describe() {
    if (player.run && player.frame >= 0) find("#lt-correct .lt-where").textContent = titleOf(player.target) + ", from frame " + player.frame;
  }

  function list() {
    find('[data-ask="undo"]').disabled = !player.target.can_undo;
    find(".lt-edits").replaceChildren(
      ...player.target.edits.map((edit) => {
        const means = [edit.expression ? "“" + edit.expression + "”" : "", edit.box_xyxy ? "a box" : ""].filter(Boolean).join(" and ");
        return make("li", "frames " + edit.frames[0] + " to " + edit.frames[1] + ": " + means + (edit.complete ? "" : " (cancelled)"));
      }),
    );
  }

  sentence.maxLength = player.page.max_characters;
  player.on("frame target", describe);
  player.on("frame", () => typed && draft.frame !== player.frame && setDraft(draft.box));
  player.on("target", list);
  let tracks = ""; // the run and its tracks that the draft is for; a cancelled or failed correction leaves both
  player.on("run", () => {
    setMode("");
    const now = player.run && JSON.stringify([player.run.key, player.run.targets.map(({ id, edits }) => [id, edits])]);
    if (now === tracks) return;
    tracks = now;
    setBox(null);
    sentence.value = "";
  });
  const rerun = () => run({ do: "correct", direction: direction() });
  const undo = () => server.question("show", { do: "undo" });
  for (const mode of Object.keys(MODES)) player.onAsk(mode, () => toggle(mode));
  player.onAsk("correct", rerun);
  player.onAsk("add", () => run({ do: "add" }));
  player.onAsk("undo", undo);
  for (const field of [boxField, sentence]) field.addEventListener("keydown", (event) => event.key === "Enter" && player.run && rerun());

  const correctionKeys = {
    r: () => toggle("draw"),
    u: () => player.target.can_undo && undo(),
    Enter: () => draft.box && rerun(),
    Escape: giveUp,
  };
  return { correctionKeys };
}
