// Ground truth that a user gives: figures, success curves and overlap by frame, of each branch.
import { isNumber, make, NO_BREAK, onRedraw } from "./dom.js";

const BRANCHES = { language: "Language", tracker: "Tracker", fused: "Fused" };
const INKS = { language: "language-ink", tracker: "tracker-ink", fused: "amber" }; // --lt-…

function drawLine({ context, x, y }, points, ink) {
  context.strokeStyle = ink;
  context.lineWidth = 1.8;
  context.beginPath();
  let broken = true;
  for (const [share, value] of points) {
    if (value !== null) context[broken ? "moveTo" : "lineTo"](x(share), y(value));
    broken = value === null;
  }
  context.stroke();
}

export function truthTool(player, server) {
  const { find } = player;
  let truth = null; // the answer, and the `asked` that it is for
  let asked = null; // the last question: target, its column `source` (a new one when it is decided anew), paths, objectName
  const [pixel, object] = [find(".lt-truth-pixel"), find(".lt-truth-object")];

  const ink = (name) => getComputedStyle(player.root).getPropertyValue("--lt-" + name).trim();

  async function ask(paths, objectName = "") {
    const { target } = player;
    const question = (asked = { target, source: target.source, paths, objectName });
    const reply = await server.question("act", { do: "truth", paths, object: objectName, pixel: pixel.value });
    if (!reply || question !== asked) return;
    object.parentElement.hidden = !(reply.objects || objectName);
    if (reply.objects) {
      object.replaceChildren(...["", ...reply.objects].map((name) => make("option", name)));
      player.notify("The truth holds several objects; choose one.", "tip");
      return;
    }
    player.notify(""); // that an object has to be chosen
    truth = { ...reply, asked };
    show();
    askAgain();
  }

  const isOfTarget = () => truth && player.run && truth.asked.target === player.target;
  const isCurrent = () => isOfTarget() && truth.asked.source === player.target.source;

  // The figures of a track that was decided anew go, and come again where they are seen.
  function askAgain() {
    if (!isOfTarget() || isCurrent()) return;
    show();
    if (player.tool === "truth" && asked.source !== player.target.source) ask(asked.paths, asked.objectName);
  }

  function tableOf(branches) {
    const figure = (value) => (isNumber(value) ? value.toFixed(3) : "–");
    const masks = Object.values(branches).some((branch) => isNumber(branch.mean_mask_iou));
    const recognised = ({ absence }) => (absence && absence.frames ? absence.recognised + " of " + absence.frames : "–");
    const measures = [
      ["Success AUC", (branch) => figure(branch.auc)],
      ["Precision 20" + NO_BREAK + "px", (branch) => figure(branch.precision)],
      ["Mean box IoU", (branch) => figure(branch.mean_iou)],
      ...(masks ? [["Mean mask IoU", (branch) => figure(branch.mean_mask_iou)]] : []),
      ["Absence recognised", recognised],
    ];
    const table = make("table");
    const head = make("tr");
    head.append(make("td"));
    for (const name of Object.keys(branches)) head.append(make("th", BRANCHES[name], { scope: "col", style: "--lt-own:var(--lt-" + INKS[name] + ")" }));
    table.append(head);
    for (const [text, measure] of measures) {
      const row = make("tr");
      row.append(make("th", text, { scope: "row" }), ...Object.values(branches).map((branch) => make("td", measure(branch))));
      table.append(row);
    }
    return table;
  }

  function show() {
    const place = find(".lt-truth-result");
    place.replaceChildren();
    if (!isCurrent()) return;
    const charts = make("div", "", { class: "lt-charts" });
    for (const [name, text] of [["success", "Share of frames above an overlap of 0 … 1"], ["overlap", "Overlap with the truth by frame"]]) {
      const figure = make("figure");
      figure.append(make("canvas", "", { "data-chart": name, role: "img", "aria-label": text }), make("figcaption", text));
      charts.append(figure);
    }
    place.append(tableOf(truth.branches), charts, ...truth.notes.map((note) => make("p", note, { class: "lt-hint" })));
    drawCharts();
  }

  // An empty chart, with functions for the places of shares in [0, 1]; null while it is hidden.
  function chart(name) {
    const canvas = find(`[data-chart="${name}"]`);
    if (!canvas || canvas.clientWidth === 0) return null;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.strokeStyle = ink("line");
    context.fillStyle = ink("soft");
    context.font = "11px system-ui, sans-serif";
    const y = (value) => height - 6 - value * (height - 12);
    for (const share of [0, 0.5, 1]) {
      context.strokeRect(24, y(share), width - 24, 0);
      context.fillText(share.toFixed(1), 2, y(share) + 4);
    }
    return { context, x: (share) => 24 + share * (width - 26), y, height, width };
  }

  function drawSuccess() {
    if (!isCurrent()) return;
    const drawing = chart("success");
    if (!drawing) return;
    for (const [name, { success }] of Object.entries(truth.branches))
      if (success) drawLine(drawing, success.map((value, k) => [truth.thresholds[k], value]), ink(INKS[name]));
  }

  function drawOverlaps() {
    if (!isCurrent()) return;
    const drawing = chart("overlap");
    if (!drawing) return;
    const { frames } = truth;
    const [first, end] = [frames[0], frames.at(-1)];
    const share = (frame) => (end > first ? (frame - first) / (end - first) : 0.5);
    const step = Math.max(1, Math.floor(frames.length / (2 * drawing.width))); // two points a pixel are enough
    for (const [name, branch] of Object.entries(truth.branches)) {
      const values = branch.mask_overlap || branch.overlap;
      if (values) drawLine(drawing, frames.map((frame, k) => [share(frame), values[k]]).filter((_, k) => k % step === 0), ink(INKS[name]));
    }
    drawing.context.fillStyle = ink("ink");
    drawing.context.fillRect(drawing.x(share(player.frame)) - 1, 0, 2, drawing.height);
  }

  function drawCharts() {
    drawSuccess();
    drawOverlaps();
  }

  player.on("run", () => {
    if (player.run) return;
    truth = asked = null; // they are of the clip that is left
    object.parentElement.hidden = true;
  });
  player.on("target", show);
  player.on("track tool", askAgain);
  player.on("tool", drawCharts);
  player.on("frame", drawOverlaps);
  onRedraw(find(".lt-truth-result"), drawCharts);
  server.onUpload("truth", ask);
  object.addEventListener("change", () => object.value && ask(asked.paths, object.value));
  pixel.addEventListener("change", () => asked && ask(asked.paths, object.parentElement.hidden ? "" : object.value));
  const dropZone = find("#lt-truth");
  dropZone.addEventListener("dragover", (event) => event.preventDefault());
  dropZone.addEventListener("drop", (event) => {
    event.preventDefault();
    server.sendFor([...event.dataTransfer.files], ask);
  });
}
