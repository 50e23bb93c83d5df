// The four pictures of a frame, painted from the film's frame, the maps and the boxes.
const RED = [255, 45, 45];
const BLUE = [0, 170, 235];
const OURS = { lgm: RED, siam: BLUE, none: [150, 150, 150] };
const css = ([r, g, b], alpha = 1) => `rgba(${r}, ${g}, ${b}, ${alpha})`;
const look = { view: "mask", threshold: 128, rotated: false }; // rotated rectangles: also a what-if setting
const still = document.createElement("canvas"); // the film's frame, for painting again while it stands still
const sheet = document.createElement("canvas"); // an overlay, twice as fine as its map

// Black, violet, red, yellow, white: brighter is surer, also without colour vision.
const HEAT = (() => {
  const stops = [[10, 8, 30], [76, 18, 110], [190, 48, 84], [246, 140, 30], [252, 240, 170]];
  return Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    return stops[low].map((from, k) => Math.round(from + (stops[low + 1][k] - from) * (at - low)));
  });
})();

function keepFrame() {
  const grow = Math.max(1, Math.round(640 / film.videoWidth)); // a tiny clip still gets sharp lines
  const [width, height] = [film.videoWidth * grow, film.videoHeight * grow];
  if (still.width !== width || still.height !== height) [still.width, still.height] = [width, height];
  still.getContext("2d").drawImage(film, 0, 0, width, height);
}

// The map, twice as fine, bilinear. Pixel centres, as in the film: the map's corners are the picture's.
let fine = new Uint8Array(0);
function refine(map, width, height) {
  if (fine.length !== 4 * width * height) fine = new Uint8Array(4 * width * height);
  for (let y = 0; y < 2 * height; y++) {
    const near = y >> 1;
    const far = Math.max(0, Math.min(height - 1, near + (y & 1 ? 1 : -1)));
    const [a, b, out] = [near * width, far * width, y * 2 * width];
    for (let x = 0; x < width; x++) {
      const here = 3 * map[a + x] + map[b + x];
      const left = x ? 3 * map[a + x - 1] + map[b + x - 1] : here;
      const right = x < width - 1 ? 3 * map[a + x + 1] + map[b + x + 1] : here;
      fine[out + 2 * x] = (3 * here + left) >> 4;
      fine[out + 2 * x + 1] = (3 * here + right) >> 4;
    }
  }
  return fine;
}

// Colours a map onto `sheet`. `rgba` gives [r, g, b, alpha] of a value; the rim runs where inside meets outside.
function overlay(map, width, height, threshold, rgba, rim) {
  const values = refine(map, width, height);
  const [w, h] = [2 * width, 2 * height];
  if (sheet.width !== w || sheet.height !== h) [sheet.width, sheet.height] = [w, h];
  const context = sheet.getContext("2d");
  const picture = context.createImageData(w, h);
  const pixels = new Uint32Array(picture.data.buffer);
  const pack = ([r, g, b, a]) => ((Math.round(a * 255) << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const inks = new Uint32Array(256);
  for (let value = 0; value < 256; value++) inks[value] = pack(rgba(value));
  for (let k = 0; k < pixels.length; k++) pixels[k] = inks[values[k]];
  if (rim) {
    const ink = pack(rim);
    for (let y = 1; y < h - 1; y++)
      for (let k = y * w + 1; k < (y + 1) * w - 1; k++)
        if (values[k] > threshold && (values[k - 1] <= threshold || values[k + 1] <= threshold || values[k - w] <= threshold || values[k + w] <= threshold)) pixels[k] = ink;
  }
  context.putImageData(picture, 0, 0);
}

// The map behind the fused mask: the chosen branch's; where the branches agree, the mean of both (fusion.fuse).
let mean = new Uint8Array(0);
function fusedMap(who, source) {
  const row = who.rows[shown];
  const chosen = who.layers.map(row, source);
  if (!chosen || !(say("reason", shown, who) || "").startsWith("branches agree")) return chosen;
  const other = who.layers.map(row, source === "lgm" ? "siam" : "lgm");
  if (mean.length !== chosen.length) mean = new Uint8Array(chosen.length);
  for (let k = 0; k < mean.length; k++) mean[k] = (chosen[k] + other[k] + 1) >> 1;
  return mean;
}

function layMask(context, who, map, colour, alpha, rim) {
  if (!map) return;
  overlay(map, who.layers.width, who.layers.height, 128, (value) => (value > 128 ? [...colour, alpha] : [0, 0, 0, 0]), rim);
  context.drawImage(sheet, 0, 0, context.canvas.width, context.canvas.height);
}

const scale = (canvas) => [canvas.width / doc.size[0], canvas.height / doc.size[1]];
const pen = (canvas) => Math.max(2, Math.min(canvas.width, canvas.height) / 120);

function outline(context, points, colour, dashed) {
  const [sx, sy] = scale(context.canvas);
  const width = pen(context.canvas);
  context.beginPath();
  for (let k = 0; k < points.length; k += 2) context.lineTo(points[k] * sx, points[k + 1] * sy);
  context.closePath();
  context.lineJoin = "round";
  context.setLineDash(dashed ? [width * 2, width * 2] : []);
  for (const [extra, ink] of [[2, "rgba(0, 0, 0, .5)"], [0, css(colour)]]) {
    context.lineWidth = width + extra; // a dark rim, so that a box is seen on its own colour too
    context.strokeStyle = ink;
    context.stroke();
  }
  context.setLineDash([]);
}

const cornersOf = ([x1, y1, x2, y2]) => [x1, y1, x2, y1, x2, y2, x1, y2];

function frameBox(context, who, branch, colour, place = shown) {
  const box = say(branch + "_box", place, who);
  if (!box || !found(say(branch, place, who))) return;
  const owner = branch === "fused" ? say("source", place, who) : branch;
  const rotated = look.rotated || who.settings.rectangle === "rotated";
  const corners = rotated ? say(owner + "_corners", place, who) : null;
  outline(context, corners || cornersOf(box), colour);
}

function plate(context, text, x, y, colour) {
  const size = Math.max(11, Math.min(context.canvas.width, context.canvas.height) / 26);
  context.font = `600 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + size;
  const left = Math.max(0, Math.min(context.canvas.width - wide, x));
  const top = Math.max(0, y - size * 1.5);
  context.fillStyle = css(colour);
  context.fillRect(left, top, wide, size * 1.5);
  context.fillStyle = "#111";
  context.fillText(text, left + size / 2, top + size * 1.08);
}

const PAINT = {
  mask(context, who) {
    const map = who.layers.map(who.rows[shown], "lgm");
    const { width, height } = context.canvas;
    if (!map || look.view === "mask") {
      if (map) {
        const inside = (value) => (value > look.threshold ? [...RED, 0.45] : [0, 0, 0, 0]);
        overlay(map, who.layers.width, who.layers.height, look.threshold, inside, [255, 255, 255, 1]);
        context.drawImage(sheet, 0, 0, width, height);
      }
      return;
    }
    const black = (value) => (value > look.threshold ? [255, 255, 255, 1] : [0, 0, 0, 1]);
    const heat = (value) => [...HEAT[value], 0.35 + (0.6 * value) / 255];
    const rim = look.view === "heat" ? [255, 255, 255, 1] : null;
    overlay(map, who.layers.width, who.layers.height, look.threshold, look.view === "heat" ? heat : black, rim);
    context.drawImage(sheet, 0, 0, width, height);
  },
  rectangle(context, who) {
    frameBox(context, who, "lgm", RED);
  },
  siammask(context, who) {
    layMask(context, who, who.layers.map(who.rows[shown], "siam"), BLUE, 0.16, [...BLUE, 0.9]);
    frameBox(context, who, "siam", BLUE);
  },
  fused(context) {
    const several = doc.targets.length > 1;
    doc.targets.forEach((who, k) => {
      const source = say("source", shown, who);
      if (!source || source === "none") return;
      const colour = several ? who.ink : OURS[source];
      layMask(context, who, fusedMap(who, source), colour, 0.32, null);
      frameBox(context, who, "fused", colour);
      const box = say("fused_box", shown, who);
      if (several && box) {
        const [sx, sy] = scale(context.canvas);
        plate(context, String(k + 1), box[0] * sx, box[1] * sy, colour);
      }
    });
    const state = say("state");
    if (state && !found(say("fused"))) plate(context, state === "tracking" ? "absent" : state, 10, context.canvas.height - 10, [240, 240, 240]);
  },
};

function paint() {
  if (!doc || shown < 0 || root.dataset.state !== "done") return;
  panels.forEach((panel) => {
    if (panel.offsetParent === null) return; // another one is enlarged
    const canvas = panel.querySelector("canvas");
    if (canvas.width !== still.width || canvas.height !== still.height) [canvas.width, canvas.height] = [still.width, still.height];
    const context = canvas.getContext("2d");
    context.drawImage(still, 0, 0);
    PAINT[panel.dataset.panel](context, target());
    draftOn(context);
    hintsOn(context);
  });
}

// The live view of a run that computes: one JPEG with the four pictures, made by the server.
function paintLive(picture) {
  const [width, height] = [Math.floor(picture.naturalWidth / 2), Math.floor(picture.naturalHeight / 2)];
  panels.forEach((panel, order) => {
    const canvas = panel.querySelector("canvas");
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const [x, y] = [(order % 2) * width, Math.floor(order / 2) * height];
    canvas.getContext("2d").drawImage(picture, x, y, width, height, 0, 0, width, height);
  });
}

// --- what is looked at -------------------------------------------------------------------------------------

all("[name=lt-view]").forEach((radio) =>
  radio.addEventListener("change", () => {
    look.view = radio.value;
    root.dataset.view = look.view;
    paint();
  }),
);
find(".lt-threshold").addEventListener("input", (event) => {
  look.threshold = Number(event.target.value);
  find(".lt-threshold-value").textContent = "over " + look.threshold;
  paint();
});
find(".lt-rotated").addEventListener("change", (event) => {
  look.rotated = event.target.checked;
  paint();
});
