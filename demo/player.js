// The player of a run. All four views are tiles of ONE video, painted to four canvases from the same decoded
// picture, so they cannot be on different frames. Text from outside goes through textContent only.
const root = element.querySelector(".lt-player");
const film = root.querySelector(".lt-film");
const range = root.querySelector(".lt-range");
const strip = root.querySelector(".lt-strip");
const panels = [...root.querySelectorAll(".lt-panel")];
const find = (selector) => root.querySelector(selector);
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

let run = null; // the finished run: src, tile, fps, index, time_s, state, source, fused, lgm, siam (a confidence, "absent", or null: not asked), reason
let shown = -1; // place of the painted frame in the run's lists
let wanted = null; // place that a seek is on its way to

const STAGES = { waiting: "Waiting for a free place", opening: "Opening the clip", following: "Following", writing: "Writing the files", stopping: "Stopping after this frame" };
const WHO = { lgm: "language", siam: "tracker", none: "nobody" };
const found = (value) => typeof value === "number";
const percent = (value, silent) => (found(value) ? Math.round(value * 100) + " %" : value === null ? silent : "absent");

function paint(picture, width, height) {
  panels.forEach((panel, order) => {
    const canvas = panel.querySelector("canvas");
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const [x, y] = [(order % 2) * width, Math.floor(order / 2) * height];
    canvas.getContext("2d").drawImage(picture, x, y, width, height, 0, 0, width, height);
  });
}

// --- a finished run ---------------------------------------------------------------------------------------

const last = () => run.time_s.length - 1;
const clockOf = (place) => run.time_s[place] - run.time_s[0];
const lengthOf = (place) => (place < last() ? clockOf(place + 1) - clockOf(place) : 1 / run.fps);
const middleOf = (place) => clockOf(place) + lengthOf(place) / 2; // seeking there hits no frame's edge

function placeAt(seconds) {
  let [low, high] = [0, last()];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (clockOf(middle) <= seconds + 0.002) low = middle;
    else high = middle - 1;
  }
  return low;
}

function present(seconds) {
  if (!run || film.readyState < 2) return;
  shown = placeAt(seconds);
  paint(film, run.tile[0], run.tile[1]);
  panels.forEach((panel) => (panel.dataset.frame = run.index[shown]));
  root.dataset.frame = run.index[shown];
  if (wanted === shown) wanted = null;
  describe();
  if (wanted !== null && !film.seeking) film.currentTime = middleOf(wanted);
}

function describe() {
  const at = shown;
  const language = percent(run.lgm[at], "not asked");
  const notes = { mask: language, rectangle: language, siammask: percent(run.siam[at], "not started") };
  notes.fused = found(run.fused[at]) ? percent(run.fused[at]) : run.state[at] === "tracking" ? "absent" : run.state[at];
  panels.forEach((panel) => (panel.querySelector(".lt-note").textContent = notes[panel.dataset.panel]));
  find(".lt-who").textContent = found(run.fused[at]) ? WHO[run.source[at]] : "";
  const text = "frame " + run.index[at] + " of " + run.index[last()] + " · " + run.time_s[at].toFixed(2) + " s";
  find(".lt-clock").textContent = text;
  find(".lt-reason").textContent = run.state[at] + ": " + run.reason[at];
  if (document.activeElement !== range || wanted === null) range.value = at;
  range.setAttribute("aria-valuetext", text + ", " + run.state[at]);
  find(".lt-head").style.left = ((at + 0.5) / (last() + 1)) * 100 + "%";
}

function seek(place) {
  if (!run) return;
  film.pause();
  wanted = Math.max(0, Math.min(last(), place));
  if (wanted === shown) wanted = null;
  else if (!film.seeking) film.currentTime = middleOf(wanted); // else the seek on its way is followed by this one
}

const here = () => (wanted === null ? shown : wanted);

function playOrPause() {
  if (!run) return;
  if (!film.paused) return film.pause();
  if (shown >= last()) film.currentTime = 0;
  film.play().catch(() => {});
}

function followFilm() {
  if (!film.requestVideoFrameCallback) {
    const look = () => {
      if (!film.paused) present(film.currentTime);
      requestAnimationFrame(look);
    };
    return look();
  }
  const look = (now, frame) => {
    present(frame.mediaTime);
    film.requestVideoFrameCallback(look);
  };
  film.requestVideoFrameCallback(look);
}

film.addEventListener("seeked", () => present(film.currentTime));
film.addEventListener("loadeddata", () => present(film.currentTime));
film.addEventListener("play", () => mark(true));
film.addEventListener("pause", () => mark(false));
film.addEventListener("error", () => {
  if (run) find(".lt-reason").textContent = "This browser cannot play the result; the files below are complete.";
});

function mark(playing) {
  root.dataset.playing = playing;
  const button = find('[data-do="play"]');
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
}

// --- the decision strip: who was believed, and how much; one column per pixel however long the run ----------

function drawStrip() {
  if (!run) return;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.max(1, Math.round(strip.clientWidth * ratio)), Math.round(strip.clientHeight * ratio)];
  strip.width = width;
  strip.height = height;
  const ink = getComputedStyle(root);
  const colours = { lgm: ink.getPropertyValue("--lt-lgm"), siam: ink.getPropertyValue("--lt-siam"), none: ink.getPropertyValue("--lt-nobody") };
  const context = strip.getContext("2d");
  const count = last() + 1;
  const columns = Math.min(count, width);
  for (let column = 0; column < columns; column++) {
    // Of the frames that share a column the least sure one is drawn: a short loss must not vanish.
    const [from, to] = [Math.floor((column * count) / columns), Math.floor(((column + 1) * count) / columns)];
    let worst = from;
    const sure = (at) => (found(run.fused[at]) ? run.fused[at] : -1);
    for (let at = from; at < to; at++) if (sure(at) < sure(worst)) worst = at;
    const value = sure(worst);
    const [left, right] = [Math.floor((column * width) / columns), Math.floor(((column + 1) * width) / columns)];
    const tall = value < 0 ? height * 0.12 : Math.max(0.12, value) * height;
    context.fillStyle = colours[value < 0 ? "none" : run.source[worst]];
    context.fillRect(left, height - tall, Math.max(1, right - left - (right - left > 3 * ratio ? ratio : 0)), tall);
  }
}
new ResizeObserver(drawStrip).observe(strip);

// --- mouse, touch, keyboard -------------------------------------------------------------------------------

const ACTIONS = {
  first: () => seek(0),
  back: () => seek(here() - 1),
  play: playOrPause,
  on: () => seek(here() + 1),
  last: () => seek(last()),
};
root.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => run && ACTIONS[button.dataset.do]()));
range.addEventListener("input", () => seek(Number(range.value)));
find(".lt-speed select").addEventListener("change", (event) => (film.playbackRate = Number(event.target.value)));
find(".lt-loop input").addEventListener("change", (event) => (film.loop = event.target.checked));
film.loop = true;

function zoom(panel) {
  const big = !panel.classList.contains("lt-big");
  panels.forEach((other) => {
    const on = other === panel && big;
    other.classList.toggle("lt-big", on);
    other.querySelector(".lt-zoom").setAttribute("aria-pressed", on);
  });
  root.classList.toggle("lt-zoomed", big);
}
panels.forEach((panel) => {
  panel.querySelector(".lt-zoom").addEventListener("click", () => zoom(panel));
  panel.querySelector(".lt-screen").addEventListener("click", () => run && playOrPause());
});

function onKey(event) {
  if (!root.isConnected) return document.removeEventListener("keydown", onKey);
  if (!run || event.ctrlKey || event.metaKey || event.altKey || root.offsetParent === null) return;
  const target = event.target;
  const ours = root.contains(target);
  const typing = target.closest && target.closest("input, textarea, select, [contenteditable], [role=dialog]");
  if (!ours && (typing || target !== document.body)) return; // other controls keep their keys
  if (ours && target.matches("select, input[type=checkbox]")) return;
  const jump = event.shiftKey ? 10 : 1;
  if (event.key === "ArrowLeft") seek(here() - jump);
  else if (event.key === "ArrowRight") seek(here() + jump);
  else if (event.key === "Home") seek(0);
  else if (event.key === "End") seek(last());
  else if (event.key === " " && !(ours && target.matches("button"))) playOrPause();
  else if (event.key === "z" || event.key === "Z") zoom(target.closest(".lt-panel") || panels.find((p) => p.classList.contains("lt-big")) || panels[3]);
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", onKey);

// --- what the server says ---------------------------------------------------------------------------------

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? whole + " s" : Math.floor(whole / 60) + " min " + (whole % 60) + " s";
}

function showProgress(value) {
  const bar = find(".lt-bar");
  if (value.total) bar.value = Math.min(1, value.frames / value.total);
  else bar.removeAttribute("value");
  const count = value.frames ? " frame " + value.frames + (value.total ? " of " + value.total : "") : "";
  find(".lt-stage").textContent = STAGES[value.stage] + (value.stage === "following" ? "," + count : "…");
  const figures = [];
  if (value.stage === "following" && value.fps) figures.push(value.fps.toFixed(1) + " frames a second");
  if (value.left_s !== null && value.left_s !== undefined) figures.push("about " + clock(value.left_s) + " left");
  find(".lt-figures").textContent = figures.join(" · ");
  if (value.picture) {
    const picture = new Image();
    picture.onload = () => {
      if (root.dataset.state === "running") paint(picture, Math.floor(picture.naturalWidth / 2), Math.floor(picture.naturalHeight / 2));
      root.dataset.painted = "yes";
    };
    picture.src = "data:image/jpeg;base64," + value.picture;
  }
}

function forget() {
  run = null;
  shown = -1;
  wanted = null;
  delete root.dataset.frame;
  film.pause();
  film.removeAttribute("src");
  panels.forEach((panel) => (panel.querySelector(".lt-note").textContent = ""));
  find(".lt-who").textContent = "";
}

function size(bytes) {
  return bytes < 1e6 ? Math.max(1, Math.round(bytes / 1e3)) + " kB" : (bytes / 1e6).toFixed(1) + " MB";
}

function link(anchor, file) {
  anchor.href = file.file.url;
  anchor.download = file.name;
  return anchor;
}

function listFiles(value) {
  link(find(".lt-bundle"), value.bundle).querySelector("span").textContent = "Download all (ZIP, " + size(value.bundle.bytes) + ")";
  find(".lt-files ul").replaceChildren(
    ...value.files.map((file) => {
      const anchor = link(document.createElement("a"), file);
      const [name, note, bytes] = ["b", "span", "i"].map((tag) => document.createElement(tag));
      name.textContent = file.name;
      note.textContent = file.note;
      bytes.textContent = size(file.bytes);
      anchor.append(name, bytes, note);
      const item = document.createElement("li");
      item.append(anchor);
      return item;
    }),
  );
}

function update() {
  const value = props.value || { state: "empty" };
  if (value.state !== "done" && run) forget();
  if (value.state === "empty" || value.stage === "waiting") delete root.dataset.painted;
  if (value.state === "running" && root.dataset.state !== "running" && root.getBoundingClientRect().top > window.innerHeight * 0.6)
    root.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" }); // on a narrow page it is below the form
  root.dataset.state = value.state;
  find(".lt-title").textContent = value.title || "What you get: four views of one run";
  if (value.state === "running") showProgress(value);
  if (value.state !== "done" || (run && run.src === value.film.url)) return;
  forget();
  run = { ...value.run, src: value.film.url };
  root.dataset.painted = "yes";
  range.max = last();
  listFiles(value);
  film.src = run.src;
  film.load();
  drawStrip();
  if (!document.activeElement.matches("input, textarea, select")) root.focus({ preventScroll: true }); // its keys work at once
  if (!calm.matches) film.addEventListener("canplay", () => root.dataset.state === "done" && film.play().catch(() => {}), { once: true });
}
followFilm();
watch("value", update);
update();
