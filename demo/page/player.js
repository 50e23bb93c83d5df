// The film of a run: which frame is shown, and how to get to another one. One <video> has the clip's frames;
// everything else is painted over them from maps and numbers of the very frame that is shown.
const root = element.querySelector(".lt-player");
const find = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const film = find(".lt-film");
const range = find(".lt-range");
const panels = all(".lt-panel");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

let doc = null; // the finished run: see `player.done`; time_s has an entry per frame of the film
let active = 0; // which of its targets the panels show
let shown = -1; // number of the painted frame; the film begins with the clip's frame 0
let wanted = null; // frame that a seek is on its way to
const loop = { from: null, to: null }; // frames, both included; null, null: the whole film

const found = (value) => typeof value === "number";
const target = () => doc.targets[active];
const last = () => doc.time_s.length - 1;
const here = () => (wanted === null ? shown : wanted);

// What a target says of a frame; null outside its own track.
function say(column, place = shown, who = target()) {
  const row = who.rows[place];
  return row >= 0 ? who[column][row] : null;
}

// Every frame's own time. Frames that no track has follow their neighbours at the clip's rate.
function clockFrom(targets, frames, fps) {
  const times = new Array(frames).fill(null);
  for (const who of targets) who.index.forEach((place, row) => place < frames && (times[place] = who.time_s[row]));
  times[0] = 0;
  let next = times.findIndex((time, place) => place > 0 && time !== null);
  for (let place = 1; place < next; place++) times[place] = (times[next] * place) / next;
  for (let place = 1; place < frames; place++) if (times[place] === null) times[place] = times[place - 1] + 1 / fps;
  return times;
}

const clockOf = (place) => doc.time_s[place];
const lengthOf = (place) => (place < last() ? clockOf(place + 1) - clockOf(place) : 1 / doc.fps);
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
  if (!doc || film.readyState < 2 || root.dataset.state !== "done") return;
  const place = placeAt(seconds);
  // A frame is painted when its maps are there, so that no panel is ever ahead of another.
  if (!doc.targets.every((who) => who.layers.ready(who.rows[place]))) {
    const asked = doc;
    Promise.all(doc.targets.map((who) => who.layers.load(who.rows[place]))).then(() => doc === asked && present(film.currentTime));
    return;
  }
  shown = place;
  keepFrame();
  paint();
  panels.forEach((panel) => (panel.dataset.frame = shown));
  root.dataset.frame = shown;
  if (wanted === shown) wanted = null;
  describe();
  if (wanted !== null && !film.seeking) film.currentTime = middleOf(wanted);
  else if (!film.paused && loop.to !== null && (shown >= loop.to || shown < loop.from)) film.currentTime = middleOf(loop.from);
}

function seek(place) {
  if (!doc) return;
  film.pause();
  wanted = Math.max(0, Math.min(last(), place));
  if (wanted === shown) wanted = null;
  else if (!film.seeking) film.currentTime = middleOf(wanted); // else the seek on its way is followed by this one
}

function playOrPause() {
  if (!doc) return;
  if (!film.paused) return film.pause();
  if (loop.to !== null && (shown < loop.from || shown >= loop.to)) film.currentTime = middleOf(loop.from);
  else if (shown >= last()) film.currentTime = 0;
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

function markPlaying(playing) {
  root.dataset.playing = playing;
  find('[data-do="play"]').setAttribute("aria-label", playing ? "Pause" : "Play");
}

film.addEventListener("seeked", () => present(film.currentTime));
film.addEventListener("loadeddata", () => present(film.currentTime));
film.addEventListener("play", () => markPlaying(true));
film.addEventListener("pause", () => markPlaying(false));
film.addEventListener("error", () => {
  if (doc) find(".lt-reason").textContent = "This browser cannot play the result; the files below are complete.";
});
