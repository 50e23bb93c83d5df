// The film of a run: which frame is shown, and how to get to another one. One <video> has the clip's frames;
// everything else is painted over them from maps and numbers of the very frame that is shown.
const root = element.querySelector(".lt-player");
const find = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const film = find(".lt-film");
const range = find(".lt-range");
const panels = all(".lt-panel");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

let doc = null; // the finished run: see `player.done`; its lists have one entry per frame of the film
let active = 0; // which of its targets the panels show
let shown = -1; // place of the painted frame in the film
let wanted = null; // place that a seek is on its way to
const loop = { from: null, to: null }; // places, both included; null, null: the whole film

const found = (value) => typeof value === "number";
const target = () => doc.targets[active];
const last = () => doc.time_s.length - 1;
const here = () => (wanted === null ? shown : wanted);

// What a target says at a place of the film; null outside its own run. What-if columns win over recorded ones.
function say(column, place = shown, who = target()) {
  const list = (who.whatif && who.whatif[column]) || who[column];
  const value = list[place - who.from];
  return value === undefined ? null : value;
}

const clockOf = (place) => doc.time_s[place] - doc.time_s[0];
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
  if (!doc || film.readyState < 2) return;
  const place = placeAt(seconds);
  // A frame is painted when its maps are there, so that no panel is ever ahead of another.
  if (!doc.targets.every((who) => who.layers.ready(place - who.from))) {
    const asked = doc;
    return Promise.all(doc.targets.map((who) => who.layers.load(place - who.from))).then(() => {
      if (doc === asked) present(film.currentTime);
    });
  }
  shown = place;
  keepFrame();
  paint();
  panels.forEach((panel) => (panel.dataset.frame = doc.index[shown]));
  root.dataset.frame = doc.index[shown];
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
