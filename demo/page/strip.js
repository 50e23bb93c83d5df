// The decisions of all frames in one strip: verdicts, both confidences, who was believed, how far the branches
// agree. One column of pixels stands for as many frames as fall on it, so its cost follows the screen's width.
const strip = find(".lt-strip");
const tip = find(".lt-tip");
const ROWS = { marks: [0, 9], curves: [13, 61], choice: [65, 85], agree: [89, 101] }; // CSS pixels from the top
const CHOICES = ["lost", "searching", "lgm", "siam"]; // of frames in one column the first of these is shown
const WHO = { lgm: "language", siam: "tracker", none: "nobody" };
const anchors = (reason) => Boolean(reason) && (reason.includes("re-anchored") || reason.startsWith("found"));

const choiceAt = (place) => {
  const state = say("state", place);
  if (state === null) return null;
  return found(say("fused", place)) ? say("source", place) : state === "searching" ? "searching" : "lost";
};

// What a column of pixels shows of its frames: extremes, since a short loss must not vanish.
function gather(from, to) {
  const column = { choice: null, anchor: false, lgm: null, siam: null, agree: null, verdict: null, differs: false };
  for (let place = from; place < to; place++) {
    const choice = choiceAt(place);
    if (choice === null) continue;
    if (column.choice === null || CHOICES.indexOf(choice) < CHOICES.indexOf(column.choice)) column.choice = choice;
    column.anchor = column.anchor || anchors(say("reason", place));
    for (const branch of ["lgm", "siam"]) {
      const value = say(branch, place);
      if (value === null) continue;
      const sure = found(value) ? value : 0;
      const span = column[branch];
      column[branch] = span ? [Math.min(span[0], sure), Math.max(span[1], sure)] : [sure, sure];
    }
    const agree = say("agree", place);
    if (agree !== null) column.agree = column.agree === null ? agree : Math.min(column.agree, agree);
    column.verdict = column.verdict || verdictAt(place);
    column.differs = column.differs || changedAt(place);
  }
  return column;
}

function hatch(context, colour, ratio) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(6 * ratio);
  const ink = tile.getContext("2d");
  ink.strokeStyle = colour;
  ink.lineWidth = 1.4 * ratio;
  ink.beginPath();
  for (const shift of [-tile.width, 0, tile.width]) {
    ink.moveTo(shift, tile.height);
    ink.lineTo(shift + tile.width, 0);
  }
  ink.stroke();
  return context.createPattern(tile, "repeat");
}

function drawStrip() {
  if (!doc || strip.clientWidth === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(strip.clientWidth * ratio), Math.round(strip.clientHeight * ratio)];
  [strip.width, strip.height] = [width, height];
  const style = getComputedStyle(root);
  const ink = (name) => style.getPropertyValue("--lt-" + name).trim();
  const context = strip.getContext("2d");
  const rows = Object.fromEntries(Object.entries(ROWS).map(([name, span]) => [name, span.map((y) => Math.round(y * ratio))]));
  const fills = { lgm: ink("lgm"), siam: ink("siam"), searching: ink("nobody"), lost: hatch(context, ink("ink"), ratio) };
  const count = last() + 1;
  const number = Math.min(count, width);
  const columns = Array.from({ length: number }, (_, k) => ({
    ...gather(Math.floor((k * count) / number), Math.floor(((k + 1) * count) / number)),
    left: Math.floor((k * width) / number),
    right: Math.floor(((k + 1) * width) / number),
  }));
  const gap = width / number > 5 * ratio ? Math.round(ratio) : 0;
  const block = ({ left, right }, [top, bottom], fill) => {
    context.fillStyle = fill;
    context.fillRect(left, top, Math.max(1, right - left - gap), bottom - top);
  };

  context.fillStyle = ink("well");
  context.fillRect(0, rows.curves[0], width, rows.curves[1] - rows.curves[0]);
  if (loop.from !== null) {
    const [from, to] = [(loop.from / count) * width, ((loop.to === null ? last() : loop.to) + 1) / count * width];
    context.fillStyle = ink("range");
    context.fillRect(from, 0, to - from, height);
  }
  context.fillStyle = ink("line");
  context.fillRect(0, Math.round((rows.curves[0] + rows.curves[1]) / 2), width, 1);
  for (const column of columns) {
    if (column.choice === "lost" || column.choice === "searching") {
      context.globalAlpha = 0.35;
      block(column, rows.curves, fills[column.choice]);
      context.globalAlpha = 1;
    }
    if (column.choice) block(column, rows.choice, fills[column.choice]);
    if (column.agree !== null) {
      const [top, bottom] = rows.agree;
      block(column, [bottom - Math.max(ratio, (bottom - top) * column.agree), bottom], ink("good"));
    }
    if (column.verdict) block(column, rows.marks, ink(VERDICTS[column.verdict].ink));
    if (column.differs) block(column, [rows.choice[1] + ratio, rows.choice[1] + 3 * ratio], ink("amber"));
  }
  for (const branch of ["siam", "lgm"]) {
    context.strokeStyle = fills[branch];
    context.lineWidth = 1.75 * ratio;
    context.lineJoin = "round";
    context.beginPath();
    let broken = true;
    const y = (sure) => rows.curves[1] - ratio - sure * (rows.curves[1] - rows.curves[0] - 2 * ratio);
    for (const column of columns) {
      const span = column[branch];
      if (!span) {
        broken = broken || column.choice === null || number === width; // asked on every k-th frame: joined
        continue;
      }
      const x = (column.left + column.right) / 2;
      context[broken ? "moveTo" : "lineTo"](x, y(span[1]));
      if (span[0] !== span[1] || broken) context.lineTo(x, y(span[0]) + (broken ? 0.01 : 0));
      broken = false;
    }
    context.stroke();
  }
  for (const column of columns) {
    if (!column.anchor) continue;
    const x = (column.left + column.right) / 2;
    const y = rows.choice[0];
    context.fillStyle = ink("ink");
    context.fillRect(x - ratio / 2, rows.curves[0], ratio, y - rows.curves[0]);
    context.beginPath();
    context.moveTo(x - 4.5 * ratio, y - 5 * ratio);
    context.lineTo(x + 4.5 * ratio, y - 5 * ratio);
    context.lineTo(x, y + 2 * ratio);
    context.fill();
  }
}
new ResizeObserver(drawStrip).observe(strip);
new MutationObserver(drawStrip).observe(document.body, { attributes: true, attributeFilter: ["class"] }); // light or dark

// --- why: of the shown frame below, of the one under the mouse in a tip ---------------------------------------

const percent = (value, silent) => (found(value) ? Math.round(value * 100) + " %" : value === null ? silent : "absent");

function why(place) {
  const state = say("state", place);
  if (state === null) return "not part of this run";
  const parts = [(found(say("fused", place)) ? WHO[say("source", place)] + " chosen" : state) + ": " + say("reason", place)];
  if (say("agree", place) !== null) parts.push("overlap of the branches " + say("agree", place).toFixed(2));
  return parts.join(" · ");
}

function describe() {
  const at = shown;
  const language = percent(say("lgm", at), "not asked");
  const notes = { mask: language, rectangle: language, siammask: percent(say("siam", at), "not started") };
  notes.fused = found(say("fused", at)) ? percent(say("fused", at)) : say("state", at) === "tracking" ? "absent" : say("state", at) || "";
  panels.forEach((panel) => (panel.querySelector(".lt-note").textContent = notes[panel.dataset.panel]));
  find(".lt-who").textContent = found(say("fused", at)) ? WHO[say("source", at)] : "";
  const text = "frame " + at + " of " + last() + " · " + doc.time_s[at].toFixed(2) + " s";
  find(".lt-clock").textContent = text;
  find(".lt-reason").textContent = why(at);
  range.value = here();
  range.setAttribute("aria-valuetext", text + ", " + why(at));
  find(".lt-head").style.left = ((at + 0.5) / (last() + 1)) * 100 + "%";
  describeTools(at);
}

range.addEventListener("pointermove", (event) => {
  if (!doc || event.pointerType === "touch") return;
  const bounds = range.getBoundingClientRect();
  const across = Math.max(0, Math.min(0.9999, (event.clientX - bounds.left) / bounds.width));
  const place = Math.floor(across * (last() + 1));
  const sure = ["lgm", "siam"].map((branch) => WHO[branch] + " " + percent(say(branch, place), "–")).join(", ");
  tip.textContent = "Frame " + place + " · " + sure + " · " + why(place) + verdictText(place);
  tip.style.left = Math.max(0, Math.min(bounds.width - tip.offsetWidth, across * bounds.width - tip.offsetWidth / 2)) + "px";
  tip.classList.add("lt-on");
});
range.addEventListener("pointerleave", () => tip.classList.remove("lt-on"));
// Our own reading of the place: the native thumb has a width, the cells have not.
const jump = (event) => {
  const bounds = range.getBoundingClientRect();
  seek(Math.floor(Math.max(0, Math.min(0.9999, (event.clientX - bounds.left) / bounds.width)) * (last() + 1)));
};
range.addEventListener("pointerdown", (event) => {
  if (!doc || event.button > 0) return;
  event.preventDefault();
  range.focus({ preventScroll: true });
  range.setPointerCapture(event.pointerId);
  jump(event);
});
range.addEventListener("pointermove", (event) => doc && range.hasPointerCapture(event.pointerId) && jump(event));
range.addEventListener("input", () => seek(Number(range.value)));
