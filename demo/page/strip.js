// The decisions of all frames in one strip: verdicts, both confidences, who was believed, how far the branches
// agree. One column of pixels stands for as many frames as fall on it, so its cost follows the screen's width.
import { isNumber, isUsers, longestStride, onRedraw } from "./dom.js";
import { VERDICTS } from "./verdicts.js";

const HEIGHT = 104; // of the strip in CSS pixels; a lower one is drawn to scale
const ROWS = { marks: [0, 9], curves: [13, 61], choice: [65, 85], overlap: [89, 101] }; // from the top
const CHOICES = ["you", "lost", "searching", "language", "tracker"]; // of frames in one column the first of these is shown

function choiceAt(player, frame) {
  const state = player.value("state", frame);
  if (state === null) return null;
  if (isUsers(player, frame)) return "you";
  return isNumber(player.value("fused", frame)) ? player.value("source", frame) : state === "searching" ? "searching" : "lost";
}

// Whether a what-if believes another branch than the recording.
function differs({ target }, frame) {
  const row = target.rows[frame];
  return Boolean(target.before) && row >= 0 && target.before.source[row] !== target.source[row];
}

// What a column of pixels shows of its frames: extremes, since a short loss must not vanish.
function gather(player, from, to) {
  const column = { from, to, choice: null, reanchor: false, language: null, tracker: null, overlap: null, verdict: null, stale: false, differs: false };
  const verdicts = player.target.verdicts.frames;
  for (let frame = from; frame < to; frame++) {
    const choice = choiceAt(player, frame);
    if (choice === null) continue;
    if (column.choice === null || CHOICES.indexOf(choice) < CHOICES.indexOf(column.choice)) column.choice = choice;
    column.reanchor ||= player.value("reanchor", frame);
    for (const branch of ["language", "tracker"]) {
      const value = player.value(branch, frame);
      if (value === null) continue;
      const confidence = isNumber(value) ? value : 0;
      const span = column[branch];
      column[branch] = span ? [Math.min(span[0], confidence), Math.max(span[1], confidence)] : [confidence, confidence];
    }
    const overlap = player.value("overlap", frame);
    if (overlap !== null) column.overlap = column.overlap === null ? overlap : Math.min(column.overlap, overlap);
    column.verdict ||= verdicts[frame]?.verdict;
    column.stale ||= Boolean(verdicts[frame]?.stale);
    column.differs ||= differs(player, frame);
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

function draw(player, canvas) {
  if (!player.run || canvas.clientWidth === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  [canvas.width, canvas.height] = [width, height];
  const style = getComputedStyle(player.root);
  const ink = (name) => style.getPropertyValue("--lt-" + name).trim();
  const context = canvas.getContext("2d");
  const rows = Object.fromEntries(Object.entries(ROWS).map(([name, span]) => [name, span.map((y) => Math.round((y * height) / HEIGHT))]));
  const fills = { you: ink("amber"), language: ink("language-ink"), tracker: ink("tracker-ink"), searching: ink("nobody"), lost: hatch(context, ink("ink"), ratio) };
  const count = player.last + 1;
  const number = Math.min(count, width);
  const columns = Array.from({ length: number }, (_, k) => ({
    ...gather(player, Math.floor((k * count) / number), Math.floor(((k + 1) * count) / number)),
    left: Math.floor((k * width) / number),
    right: Math.floor(((k + 1) * width) / number),
  }));
  const longest = longestStride(player);
  const gap = width / number > 5 * ratio ? Math.round(ratio) : 0;
  const block = ({ left, right }, [top, bottom], fill) => {
    context.fillStyle = fill;
    context.fillRect(left, top, Math.max(1, right - left - gap), bottom - top);
  };

  context.fillStyle = ink("well");
  context.fillRect(0, rows.curves[0], width, rows.curves[1] - rows.curves[0]);
  const { from, to } = player.range;
  if (from !== null) {
    context.fillStyle = ink("range");
    context.fillRect((from / count) * width, 0, ((to + 1 - from) / count) * width, height);
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
    if (column.overlap !== null) {
      const [top, bottom] = rows.overlap;
      block(column, [bottom - Math.max(ratio, (bottom - top) * column.overlap), bottom], ink("good"));
    }
    if (column.verdict) block(column, column.stale ? [rows.marks[1] - 3 * ratio, rows.marks[1]] : rows.marks, ink(VERDICTS[column.verdict].ink));
    if (column.differs) block(column, [rows.choice[1] + ratio, rows.choice[1] + 3 * ratio], ink("amber"));
  }
  for (const branch of ["tracker", "language"]) {
    context.strokeStyle = fills[branch];
    context.lineWidth = 1.75 * ratio;
    context.lineJoin = "round";
    context.beginPath();
    let end = -Infinity; // of the frames up to which the curve is drawn
    const y = (confidence) => rows.curves[1] - ratio - confidence * (rows.curves[1] - rows.curves[0] - 2 * ratio);
    for (const column of columns) {
      const span = column[branch];
      if (!span) {
        if (column.choice === null) end = -Infinity;
        continue;
      }
      const broken = column.from - end > longest; // read on every k-th frame: joined
      const x = (column.left + column.right) / 2;
      context[broken ? "moveTo" : "lineTo"](x, y(span[1]));
      if (span[0] !== span[1] || broken) context.lineTo(x, y(span[0]) + (broken ? 0.01 : 0));
      end = column.to;
    }
    context.stroke();
  }
  for (const column of columns.filter(({ choice }) => choice === "you")) {
    const [side, top] = [9 * ratio, rows.curves[0]];
    const x = Math.max(0, Math.min(width - side, (column.left + column.right - side) / 2));
    context.fillStyle = fills.you;
    context.fillRect(x + (side - 2 * ratio) / 2, top, 2 * ratio, rows.choice[1] - top);
    context.fillRect(x, top, side, side);
    context.strokeStyle = ink("ink");
    context.lineWidth = ratio;
    context.strokeRect(x + ratio / 2, top + ratio / 2, side - ratio, side - ratio);
  }
  for (const column of columns) {
    if (!column.reanchor) continue;
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

export function strip(player) {
  const canvas = player.find(".lt-strip");
  const drawStrip = () => draw(player, canvas);
  player.on("track range", drawStrip);
  onRedraw(canvas, drawStrip);
}
