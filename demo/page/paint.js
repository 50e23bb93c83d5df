// The four pictures of a frame, painted from the video's frame, the maps and the boxes.
import { isNumber, isUsers, lastRead } from "./dom.js";
import { HEAT, drawMap } from "./overlay.js";

export const WHITE = [255, 255, 255];
export const DRAFT = [255, 191, 51]; // what a person draws
const HELD_ALPHA = 0.45; // opacity of a mask or a rectangle that is held from an earlier frame

export const css = ([r, g, b], alpha = 1) => `rgba(${r}, ${g}, ${b}, ${alpha})`;

// Corners x, y of an upright box.
export const cornersOf = ([x1, y1, x2, y2]) => [x1, y1, x2, y1, x2, y2, x1, y2];

function resize(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
}

const labelSize = ({ width, height }) => Math.max(11, Math.min(width, height) / 26);

// `labels` has the places of labels that must stay readable: the label moves beside them, and is added.
export function drawLabel(context, text, x, y, colour, labels = [], size = labelSize(context.canvas)) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + size;
  const tall = size * 1.5;
  const begin = Math.max(0, Math.min(context.canvas.width - wide, x));
  let [left, top] = [begin, Math.max(0, y - tall)];
  const covers = (other) => Math.abs(other.left - left) < (other.wide + wide) / 2 && Math.abs(other.top - top) < tall;
  while (labels.some(covers)) {
    left += wide + 2;
    if (left + wide > context.canvas.width) [left, top] = [begin, top + tall + 2];
  }
  labels.push({ left, top, wide });
  context.fillStyle = css(colour);
  context.fillRect(left, top, wide, tall);
  context.fillStyle = "#111";
  context.fillText(text, left + size / 2, top + size * 1.08);
}

// A closed line through x, y, … in pixels of the clip; `scale` leads to those of the canvas.
export function drawOutline(context, points, [sx, sy], colour, { width, dashed = false }) {
  context.beginPath();
  for (let k = 0; k < points.length; k += 2) context.lineTo(points[k] * sx, points[k + 1] * sy);
  context.closePath();
  context.lineJoin = "round";
  context.setLineDash(dashed ? [width * 2, width * 2] : []);
  for (const [extra, ink] of [[Math.min(2, width), "rgba(0, 0, 0, .5)"], [0, css(colour)]]) {
    context.lineWidth = width + extra; // a dark rim, so that a box is seen on its own colour too
    context.strokeStyle = ink;
    context.stroke();
  }
  context.setLineDash([]);
}

// Paints the panels whenever they change; returns what others need to paint a target into a canvas of their own.
export function painter(player) {
  const { video, look, panels } = player;
  const { colours } = player.page;
  const frameCanvas = document.createElement("canvas"); // the video's frame, for painting again while the video stands
  let mean = new Uint8Array(0);

  function copyFrame() {
    const grow = Math.max(1, Math.round(640 / video.videoWidth)); // a tiny clip frameCanvas gets sharp lines
    resize(frameCanvas, video.videoWidth * grow, video.videoHeight * grow);
    frameCanvas.getContext("2d").drawImage(video, 0, 0, frameCanvas.width, frameCanvas.height);
  }

  // The frame at rest in the clip's own pixels.
  function showStill(image) {
    resize(frameCanvas, image.naturalWidth, image.naturalHeight);
    frameCanvas.getContext("2d").drawImage(image, 0, 0);
    paint();
  }

  const zoomOf = () => player.zoom?.factor || 1; // lines stay as thin as they are when the picture is enlarged
  const scaleOf = ({ width, height }) => [width / player.run.size[0], height / player.run.size[1]];
  const mapOf = (target, branch) => target.layers.map(target.rows[player.frame], branch);

  // The map behind the fused mask: that of the source; where the branches agree, the mean of both (fusion.fuse).
  function fusedMap(target, source) {
    const sourceMap = mapOf(target, source);
    if (!sourceMap || !player.value("agree", player.frame, target)) return sourceMap;
    const otherMap = mapOf(target, source === "language" ? "tracker" : "language");
    if (mean.length !== sourceMap.length) mean = new Uint8Array(sourceMap.length);
    for (let k = 0; k < mean.length; k++) mean[k] = (sourceMap[k] + otherMap[k] + 1) >> 1;
    return mean;
  }

  function drawMask(context, target, map, colour, alpha, rim) {
    const { width, height } = target.layers;
    if (map) drawMap(context, map, width, height, 128, (value) => (value > 128 ? [...colour, alpha] : [0, 0, 0, 0]), rim);
  }

  function outline(context, points, colour, dashed = false) {
    const width = Math.max(2, Math.min(context.canvas.width, context.canvas.height) / 120) / zoomOf();
    drawOutline(context, points, scaleOf(context.canvas), colour, { width, dashed });
  }

  function frameBox(context, target, branch, colour, frame = player.frame) {
    const value = (column) => player.value(column, frame, target);
    const box = value(branch + "_box");
    if (!box || !isNumber(value(branch))) return;
    const owner = branch === "fused" ? value("source") : branch;
    const rotated = look.rotated || target.settings.rectangle === "rotated";
    const drawn = branch === "fused" && isUsers(player, player.frame, target);
    const corners = (branch === "fused" && value("agree") && value("fused_corners")) || value(owner + "_corners");
    outline(context, (rotated && !drawn && corners) || cornersOf(box), colour);
  }

  function number(context, text, [x, y], colour, labels) {
    const [sx, sy] = scaleOf(context.canvas);
    drawLabel(context, text, x * sx, y * sy, colour, labels, labelSize(context.canvas) / zoomOf());
  }

  // The fused mask and box; true when the target was found.
  function paintTrack(context, target, colour, alpha) {
    const source = player.value("source", player.frame, target);
    if (!source) return false;
    const ink = colour || (isUsers(player, player.frame, target) ? DRAFT : colours[source]);
    drawMask(context, target, fusedMap(target, source), ink, alpha, null);
    frameBox(context, target, "fused", ink);
    return true;
  }

  // Draws paler what is held from an earlier frame.
  function dimmed(context, frame, draw) {
    context.globalAlpha = frame === player.frame ? 1 : HELD_ALPHA;
    draw();
    context.globalAlpha = 1;
  }

  const PANELS = {
    mask(context, target) {
      const frame = lastRead(player);
      if (frame === null) return;
      const map = target.layers.map(target.rows[frame], "language");
      if (!map) return void target.layers.load(target.rows[frame]).then(paint);
      const { view, threshold } = look;
      const inks = {
        mask: (value) => (value > threshold ? [...colours.language, 0.45] : [0, 0, 0, 0]),
        binary: (value) => (value > threshold ? [...WHITE, 1] : [0, 0, 0, 1]),
        heat: (value) => [...HEAT[value], 0.35 + (0.6 * value) / 255],
      };
      const rim = view === "binary" ? null : [...WHITE, 1];
      dimmed(context, frame, () => drawMap(context, map, target.layers.width, target.layers.height, threshold, inks[view], rim));
    },
    rectangle(context, target) {
      const frame = lastRead(player);
      if (frame !== null) dimmed(context, frame, () => frameBox(context, target, "language", colours.language, frame));
    },
    tracker(context, target) {
      drawMask(context, target, mapOf(target, "tracker"), colours.tracker, 0.16, [...colours.tracker, 0.9]);
      frameBox(context, target, "tracker", colours.tracker);
    },
    fused(context) {
      const several = player.shown.length > 1;
      const labels = [];
      player.shown.forEach((target) => {
        const box = paintTrack(context, target, several ? target.ink : null, 0.32) && player.value("fused_box", player.frame, target);
        if (several && box) number(context, String(player.run.targets.indexOf(target) + 1), box, target.ink, labels);
      });
      const state = player.value("state");
      if (state && !isNumber(player.value("fused"))) drawLabel(context, state === "tracking" ? "absent" : state, 10, context.canvas.height - 10, [240, 240, 240]);
    },
  };

  // The box that is being drawn, and the numbered regions that the words could mean.
  function paintHelp(context) {
    const { draft, frame, hints } = player;
    if (draft.box && draft.frame === frame) outline(context, cornersOf(draft.box), DRAFT, true);
    if (hints.frame !== frame || player.tool !== "words") return;
    const labels = [];
    for (const { box, label } of hints.boxes) {
      outline(context, cornersOf(box), WHITE, true);
      number(context, label, box, WHITE, labels);
    }
  }

  function paint() {
    if (!player.run || player.frame < 0 || player.root.dataset.state !== "done") return;
    for (const panel of panels) {
      if (panel.offsetParent === null) continue; // another one is enlarged
      const canvas = panel.querySelector("canvas");
      resize(canvas, frameCanvas.width, frameCanvas.height);
      const context = canvas.getContext("2d");
      context.drawImage(frameCanvas, 0, 0);
      PANELS[panel.dataset.panel](context, player.target);
      paintHelp(context);
    }
  }

  player.on("frame", copyFrame);
  player.on("frame track look tool", paint);

  const { find, all } = player;
  all("[name=lt-view]").forEach((radio) =>
    radio.addEventListener("change", () => {
      look.view = radio.value;
      player.root.dataset.view = look.view;
      player.emit("look");
    }),
  );
  find(".lt-threshold").addEventListener("input", (event) => {
    look.threshold = Number(event.target.value);
    find(".lt-threshold-value").textContent = "over " + look.threshold;
    player.emit("look");
  });
  find(".lt-rotated").addEventListener("change", (event) => {
    look.rotated = event.target.checked;
    player.emit("look");
  });

  return { frameCanvas, paintTrack, showStill };
}

// The live view of a run that computes: one JPEG with the four pictures, made by the server.
export function paintLive(panels, picture) {
  const [width, height] = [Math.floor(picture.naturalWidth / 2), Math.floor(picture.naturalHeight / 2)];
  panels.forEach((panel, order) => {
    const canvas = panel.querySelector("canvas");
    resize(canvas, width, height);
    const [x, y] = [(order % 2) * width, Math.floor(order / 2) * height];
    canvas.getContext("2d").drawImage(picture, x, y, width, height, 0, 0, width, height);
  });
}
