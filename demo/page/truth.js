// Ground truth that was dropped in: figures, success curves and overlap by frame, of each branch.
let truth = null; // the answer for `truth.who`
const BRANCHES = { lgm: "Language", siam: "Tracker", fused: "Fused" };
const branchInk = (branch) => getComputedStyle(root).getPropertyValue("--lt-" + { lgm: "lgm", siam: "siam", fused: "amber" }[branch]).trim();

async function askTruth(paths) {
  const reply = await question("act", { do: "truth", paths });
  if (!reply) return;
  truth = { ...reply, who: target() };
  showTruth();
}

function showTruth() {
  const place = find(".lt-truth-result");
  place.replaceChildren();
  if (!truth || truth.who !== target()) return;
  const figure = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
  const table = make("table");
  const head = make("tr");
  const masks = Object.values(truth.branches).some((branch) => found(branch.mean_mask_iou));
  const columns = ["Success AUC", "Precision 20 px", "Mean box IoU", ...(masks ? ["Mean mask IoU"] : []), "Absent told"];
  head.append(make("th", "Branch", { scope: "col" }), ...columns.map((text) => make("th", text, { scope: "col" })));
  table.append(head);
  for (const [name, branch] of Object.entries(truth.branches)) {
    const row = make("tr");
    const label = make("th", BRANCHES[name], { scope: "row", style: "--lt-own:" + branchInk(name) });
    const absent = branch.absence && branch.absence.of ? branch.absence.said_absent + " of " + branch.absence.of : "–";
    const cells = [figure(branch.auc), figure(branch.precision), figure(branch.mean_iou), ...(masks ? [figure(branch.mean_mask_iou)] : []), absent];
    row.append(label, ...cells.map((text) => make("td", text)));
    table.append(row);
  }
  const charts = make("div", "", { class: "lt-charts" });
  for (const [name, text] of [["success", "Share of frames above an overlap of 0 … 1"], ["overlap", "Overlap with the truth by frame"]]) {
    const chart = make("figure");
    chart.append(make("canvas", "", { "data-chart": name, role: "img", "aria-label": text }), make("figcaption", text));
    charts.append(chart);
  }
  place.append(table, charts, ...truth.notes.map((note) => make("p", note, { class: "lt-hint" })));
  drawSuccess();
  drawOverlaps();
}

function chart(name) {
  const canvas = find(`[data-chart="${name}"]`);
  if (!canvas || canvas.clientWidth === 0) return null;
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const style = getComputedStyle(root);
  context.strokeStyle = style.getPropertyValue("--lt-line");
  context.fillStyle = style.getPropertyValue("--lt-soft");
  context.font = "11px system-ui, sans-serif";
  for (const share of [0, 0.5, 1]) {
    const y = height - 6 - share * (height - 12);
    context.strokeRect(24, y, width - 24, 0);
    context.fillText(share.toFixed(1), 2, y + 4);
  }
  return { context, x: (share) => 24 + share * (width - 26), y: (value) => height - 6 - value * (height - 12), height, width };
}

function line(drawing, values, ink) {
  drawing.context.strokeStyle = ink;
  drawing.context.lineWidth = 1.8;
  drawing.context.beginPath();
  let broken = true;
  values.forEach(([share, value]) => {
    if (value === null) return void (broken = true);
    drawing.context[broken ? "moveTo" : "lineTo"](drawing.x(share), drawing.y(value));
    broken = false;
  });
  drawing.context.stroke();
}

function drawSuccess() {
  const drawing = truth && chart("success");
  if (!drawing) return;
  for (const [name, branch] of Object.entries(truth.branches))
    if (branch.success) line(drawing, branch.success.map((value, k) => [truth.thresholds[k], value]), branchInk(name));
}

function drawOverlaps() {
  const drawing = truth && truth.who === target() && chart("overlap");
  if (!drawing) return;
  const [first, end] = [truth.frames[0], truth.frames[truth.frames.length - 1]];
  const share = (frame) => (end > first ? (frame - first) / (end - first) : 0.5);
  const step = Math.max(1, Math.floor(truth.frames.length / (2 * drawing.width))); // two points a pixel are enough
  for (const [name, branch] of Object.entries(truth.branches)) {
    const values = branch.mask_overlap || branch.overlap;
    if (values) line(drawing, truth.frames.map((frame, k) => [share(frame), values[k]]).filter((_, k) => k % step === 0), branchInk(name));
  }
  drawing.context.fillStyle = getComputedStyle(root).getPropertyValue("--lt-ink");
  drawing.context.fillRect(drawing.x(share(shown)) - 1, 0, 2, drawing.height);
}

const well = find("#lt-truth");
well.addEventListener("dragover", (event) => event.preventDefault());
well.addEventListener("drop", async (event) => {
  event.preventDefault();
  const files = [...event.dataTransfer.files];
  const paths = doc && files.length ? await uploaded(files) : null;
  if (paths) askTruth(paths);
});
