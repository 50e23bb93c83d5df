// Corrections: a box drawn on the present frame, or a better sentence, from which the run is made anew.
import { make, titleOf } from "./dom.js";
import { pixelAt } from "./zoom.js";

// Smallest side of a drawn box in pixels of the clip; a smaller one was a click.
const MIN_SIDE = 2;

export function correctTool(player, server) {
  const { draft, find, video } = player;
  const boxField = find(".lt-box");
  const sentence = find(".lt-sentence");

  function setDrawing(on) {
    draft.on = on;
    player.root.classList.toggle("lt-drawing", on);
    find('[data-ask="draw"]').setAttribute("aria-pressed", on);
  }

  function setDraft(box) {
    draft.box = box;
    draft.frame = player.frame;
    player.emit("look");
  }

  function setBox(box) {
    boxField.value = box ? box.map((value) => Math.round(value)).join(",") : "";
    setDraft(box);
  }

  function toggleDrawing() {
    if (draft.on) return setDrawing(false);
    video.pause();
    setDrawing(true);
    player.notify("Drag a box around the object, in any of the four views.", "tip");
  }

  for (const panel of player.panels) {
    const canvas = panel.querySelector("canvas");
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (!player.run || !draft.on || event.button > 0) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      start = pixelAt(event, canvas, player.run.size);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = pixelAt(event, canvas, player.run.size);
      setBox([Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)]);
    });
    canvas.addEventListener("pointerup", () => {
      if (!start) return;
      start = null;
      const { box } = draft;
      if (!box || box[2] - box[0] < MIN_SIDE || box[3] - box[1] < MIN_SIDE) return setBox(null);
      player.notify("");
      player.openTool("correct");
      setTimeout(() => setDrawing(false)); // the click that ends the drag must not start the video
    });
  }

  boxField.addEventListener("input", () => {
    const numbers = boxField.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    const fits = numbers.length === 4 && numbers.every(Number.isFinite) && numbers[2] > numbers[0] && numbers[3] > numbers[1];
    setDraft(fits ? numbers : null);
  });

  function request() {
    const box = draft.box && draft.frame === player.here ? boxField.value : "";
    return { frame: player.here, text: sentence.value.trim(), box };
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
  player.on("target", list);
  player.on("run", () => {
    setDrawing(false);
    setBox(null);
    sentence.value = "";
  });
  player.onAsk("draw", toggleDrawing);
  player.onAsk("correct", () => server.question("work", { do: "correct", direction: find("[name=lt-direction]:checked").value, ...request() }));
  player.onAsk("add", () => server.question("work", { do: "add", ...request() }));
  player.onAsk("undo", () => server.question("act", { do: "undo" }));

  return { stopDrawing: () => setDrawing(false) };
}
