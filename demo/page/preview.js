// What the words select on one frame, before a run: its regions to choose from, or a box to draw. `props.value` is
// that of `Preview.value` in preview.py.
import { make, percent } from "./dom.js";
import { drawMap } from "./overlay.js";
import { cornersOf, DRAFT, drawLabel, drawOutline, WHITE } from "./paint.js";
import { isPan, pixelAt, Zoom } from "./zoom.js";

const CLICK_PX = 4; // a shorter drag, in pixels of the screen, was a click
const MIN_SIDE = 2; // of a drawn box, in pixels of the clip
const SHARP = 960; // a smaller picture is painted larger, in pixels, so that lines and numbers are sharp

const numbersOf = (box) => box.split(",").map(Number);
const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

export function mountPreview({ element, props, trigger, watch }) {
  const root = element.querySelector(".lt-before");
  const find = (selector) => root.querySelector(selector);
  const canvas = find("canvas");
  const slider = find(".lt-before-seek input");
  const picture = new Image();
  const zoom = new Zoom([canvas], { onChange: paint });
  let look = null; // the value that is shown
  let map = null; // {width, height, values}
  let draft = null; // the box that is being drawn

  const playerOf = () => document.querySelector("#player .lt-player");
  const isOpen = () => !root.hidden && root.isConnected;

  function paint() {
    if (!look || !picture.naturalWidth) return;
    const grow = Math.max(1, Math.round(SHARP / picture.naturalWidth));
    const [width, height] = [picture.naturalWidth * grow, picture.naturalHeight * grow];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0, width, height);
    if (map) {
      const ink = props.page.colours.language;
      drawMap(context, map.values, map.width, map.height, 128, (value) => (value > 128 ? [...ink, 0.38] : [0, 0, 0, 0]), [...WHITE, 0.9]);
    }
    const fit = Math.min(canvas.clientWidth / width, canvas.clientHeight / height) || 1;
    const pixel = fit * zoom.factor; // pixels of the screen to one of the canvas
    const scale = [width / look.size[0], height / look.size[1]];
    const labels = [];
    look.regions.forEach((region, k) => {
      const box = numbersOf(region);
      const ink = region === look.choice ? DRAFT : WHITE;
      drawOutline(context, cornersOf(box), scale, ink, { width: 2.5 / pixel, dashed: region !== look.choice });
      drawLabel(context, String(k + 1), box[0] * scale[0], box[1] * scale[1], ink, labels, 17 / pixel);
    });
    const own = draft || (look.choice && !look.regions.includes(look.choice) ? numbersOf(look.choice) : null);
    if (own) drawOutline(context, cornersOf(own), scale, DRAFT, { width: 2.5 / pixel });
  }

  function title() {
    const { regions, frame, text } = look;
    if (!text) return "Frame " + frame + ": say what to follow, or drag a box";
    const words = "“" + text + "”";
    if (!map) return words + " cannot be looked for";
    if (!regions.length) return "Nothing on frame " + frame + " fits " + words;
    return regions.length === 1 ? "This is what " + words + " means on frame " + frame : regions.length + " regions on frame " + frame + " fit " + words;
  }

  function hint() {
    const { regions, text, choice, sure } = look;
    if (choice) return "The track starts on the box in yellow and is held to it.";
    if (!text || !regions.length) return "Drag a box around the object, or look at another frame. Wheel: zoom; shift and drag: move.";
    const certain = percent(sure) + " sure on this frame; a run looks at several and may decide otherwise. ";
    return certain + (regions.length === 1 ? "Drag a box if it is something else." : "Click the one that you mean, or drag a box.");
  }

  function list() {
    find(".lt-before-title").textContent = title();
    find(".lt-before-note").textContent = [look.remark, look.note || hint()].filter(Boolean).join(" ");
    const several = look.regions.length > 1;
    find(".lt-before-regions").replaceChildren(
      ...(several || look.regions.includes(look.choice) ? look.regions : []).map((region, k) => {
        const chip = make("button", String(k + 1), { type: "button", class: "lt-number", "aria-pressed": region === look.choice, title: "Choose this region (key " + (k + 1) + ")" });
        chip.addEventListener("click", () => choose(region));
        return chip;
      }),
    );
    find('[data-do="follow"]').disabled = !look.text && !look.choice;
    find('[data-do="all"]').hidden = !several;
    find('[data-do="all"]').textContent = "Follow all " + look.regions.length;
    find('[data-do="back"]').hidden = !look.run;
    paint();
  }

  // Choosing again takes the choice back.
  function choose(box) {
    look.choice = box === look.choice ? "" : box;
    look.remark = "";
    trigger("choose", { box: look.choice, look: look.look });
    list();
  }

  function clickAt([x, y]) {
    const hit = look.regions.filter((region) => {
      const [x1, y1, x2, y2] = numbersOf(region);
      return x >= x1 && x < x2 && y >= y1 && y < y2;
    });
    hit.sort((one, other) => area(numbersOf(one)) - area(numbersOf(other)));
    if (hit.length) choose(hit[0]);
    else if (look.choice) choose(look.choice);
  }

  let start = null; // {at, x, y} of the drag
  canvas.addEventListener("pointerdown", (event) => {
    if (!look || event.button > 0 || isPan(event)) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    start = { at: pixelAt(event, canvas, look.size), x: event.clientX, y: event.clientY };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start || (!draft && Math.hypot(event.clientX - start.x, event.clientY - start.y) < CLICK_PX)) return;
    const [x, y] = pixelAt(event, canvas, look.size);
    draft = [Math.min(start.at[0], x), Math.min(start.at[1], y), Math.max(start.at[0], x), Math.max(start.at[1], y)];
    paint();
  });
  canvas.addEventListener("pointerup", () => {
    if (!start) return;
    const [{ at }, box] = [start, draft];
    start = draft = null;
    if (!box) return clickAt(at);
    if (box[2] - box[0] >= MIN_SIDE && box[3] - box[1] >= MIN_SIDE) choose(box.map(Math.round).join(","));
    else paint();
  });
  // The browser takes the fingers for a gesture of its own: they enlarge the page.
  canvas.addEventListener("pointercancel", () => {
    start = draft = null;
    paint();
  });

  slider.addEventListener("input", () => (find(".lt-before-seek output").textContent = slider.value));
  slider.addEventListener("change", () => trigger("seek", { frame: Number(slider.value) }));
  for (const button of root.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => (button.dataset.zoom === "fit" ? zoom.fit() : zoom.by(button.dataset.zoom === "in" ? 1.5 : 1 / 1.5)));
  find('[data-do="follow"]').addEventListener("click", () => trigger("follow", { box: look.choice, look: look.look }));
  find('[data-do="all"]').addEventListener("click", () => trigger("all"));
  find('[data-do="back"]').addEventListener("click", () => {
    close();
    trigger("back");
  });
  picture.addEventListener("load", paint);

  function onKey(event) {
    if (!root.isConnected) return document.removeEventListener("keydown", onKey);
    if (!isOpen() || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input:not([type=range]), textarea, select, [contenteditable], dialog")) return;
    const region = look.regions[Number(event.key) - 1];
    if (region) choose(region);
  }
  document.addEventListener("keydown", onKey);

  function close() {
    root.hidden = true;
    look = start = draft = null;
  }

  // A run shows itself in the player, and so does another one of before: this lies over it no longer.
  let lastPlayer = null;
  let lastRun = "";
  function followPlayer() {
    const player = playerOf();
    if (!player || player === lastPlayer) return;
    lastPlayer = player;
    lastRun = player.dataset.run;
    new MutationObserver(() => {
      if (player.dataset.state === "running" || player.dataset.run !== lastRun) close();
      lastRun = player.dataset.run;
    }).observe(player, { attributeFilter: ["data-state", "data-run"] });
  }

  function update() {
    const value = props.value || { state: "off" };
    followPlayer();
    if (value.state === "off" || playerOf()?.dataset.state === "running") return close();
    const other = !look || look.picture.path !== value.picture.path;
    look = { ...value };
    map = value.map && { ...value.map, values: bytesOf(value.map.values) };
    if (other) zoom.fit();
    if (other) picture.src = value.picture.url;
    slider.max = Math.max((value.frames || 1) - 1, value.frame);
    slider.value = value.frame;
    find(".lt-before-seek output").textContent = value.frame;
    root.hidden = false;
    document.querySelector("#player .lt-video")?.pause();
    list();
  }
  watch("value", update);
  update();
}
