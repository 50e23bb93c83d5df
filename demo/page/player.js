// The state of the page: the run, its target, the frame that is shown; and how to get to another frame. One
// <video> has the clip's frames; everything else is painted over them from maps and numbers of that frame.
//
// The other modules listen to these events:
//   run     a run was opened, or left (`run` is null)
//   target  another target is shown; "track" follows
//   track   what is known of the target has changed: its decisions, settings or verdicts
//   frame   another picture is shown
//   range   the range of frames has changed
//   look    the pictures have to be painted again
//   leave   the page is about to go
//   tool    the tab of another tool is open
//   message something is said, or no longer
export class Player {
  run = null; // see `player.done` in player.py; time_s has an entry per frame of the video
  active = 0; // which of its targets is shown
  frame = -1; // number of the frame in the panels; the video begins with the clip's frame 0
  begin = 0; // the frame that is the first to be shown of a run that was opened
  goal = null; // frame that a seek is on its way to
  range = { from: null, to: null }; // frames, both included; null, null: the whole video
  look = { view: "mask", threshold: 128, rotated: false }; // rotated rectangles: also a what-if setting
  draft = { on: "", frame: -1, box: null }; // what the next click means, and a box that is drawn, in pixels of the clip
  hints = { frame: -1, boxes: [] }; // regions that the words could mean: {box, label}
  steered = false; // a person has chosen a frame, or played, since the run was opened
  tool = "files"; // whose tab is open
  message = ""; // what was said last, also while no tool is open
  #listeners = {};
  #waiting = null; // the run of which a frame waits for its maps
  #pictureTime = null; // seconds; of the picture in the <video>, whose currentTime is ahead of it while it seeks

  // `page` is what Python knows and sends once: see page_data.py.
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.video = this.find(".lt-video");
    this.panels = this.all(".lt-panel");
    this.parts = [root]; // the elements in which the player's keys work
    this.#followVideo();
  }

  // --- the page -------------------------------------------------------------------------------------------

  find = (selector) => this.root.querySelector(selector);
  all = (selector) => [...this.root.querySelectorAll(selector)];

  on(events, listener) {
    for (const name of events.split(" ")) (this.#listeners[name] ||= []).push(listener);
  }

  emit(name) {
    for (const listener of this.#listeners[name] || []) listener();
  }

  // What a button marked with data-ask does.
  onAsk(name, action) {
    this.find(`[data-ask="${name}"]`).addEventListener("click", () => this.run && action());
  }

  // One line above the open tool: what was done, or what is wrong.
  notify(text, kind = "error") {
    const line = this.find(".lt-message");
    line.textContent = text || "";
    line.dataset.kind = text ? kind : "";
    this.message = text || "";
    this.emit("message");
  }

  openTool(name) {
    this.tool = name;
    for (const tab of this.all("[role=tab]")) {
      const open = tab.id === "lt-tab-" + name;
      tab.setAttribute("aria-selected", open);
      tab.tabIndex = open ? 0 : -1;
      this.find("#" + tab.getAttribute("aria-controls")).hidden = !open;
    }
    this.emit("tool");
  }

  // --- the run --------------------------------------------------------------------------------------------

  get target() {
    return this.run.targets[this.active];
  }

  // The targets that stay, and one of a comparison while it is chosen.
  get shown() {
    return this.run.targets.filter((target) => !target.compared || target === this.target);
  }

  get last() {
    return this.run.time_s.length - 1;
  }

  // The frame that is shown, or will be in a moment.
  get here() {
    if (this.goal !== null) return this.goal;
    return this.frame < 0 ? this.begin : this.frame;
  }

  // What a target's column has for a frame; null outside its own track.
  value(column, frame = this.frame, target = this.target) {
    const row = target.rows[frame];
    return row >= 0 ? target[column][row] : null;
  }

  open(run) {
    this.run = run;
    this.steered = false;
    this.setRange(null, null);
    this.emit("run");
  }

  close() {
    this.run = null;
    this.frame = -1;
    this.goal = null;
    this.#pictureTime = null;
    delete this.root.dataset.frame;
    this.video.pause();
    this.video.removeAttribute("src");
    this.emit("run");
  }

  choose(active) {
    this.active = active;
    this.emit("target");
    this.emit("track");
  }

  // A range of frames: it plays in a loop, and a verdict counts for all of it.
  setRange(from, to) {
    this.range = { from, to };
    this.emit("range");
  }

  // --- the video ------------------------------------------------------------------------------------------

  // Seeking to the middle of a frame's time hits no frame's edge.
  middleOf(frame) {
    const { time_s, fps } = this.run;
    return time_s[frame] + (frame < this.last ? time_s[frame + 1] - time_s[frame] : 1 / fps) / 2;
  }

  // The video's clock and the clip's differ a little, and a seek goes to the middle of a frame.
  #frameAt(seconds) {
    const { time_s } = this.run;
    let [low, high] = [0, this.last];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (time_s[middle] - Math.min(0.002, (time_s[middle] - time_s[middle - 1]) / 3) <= seconds) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  present() {
    const { video, root, run, range } = this;
    if (!run || this.#pictureTime === null || root.dataset.state !== "done") return;
    const frame = this.#frameAt(this.#pictureTime);
    // A frame is painted when its maps are there, so that no panel is ever ahead of another.
    run.cache.need(run.targets.map(({ layers, rows }) => layers.key(rows[frame])));
    if (!run.targets.every(({ layers, rows }) => layers.ready(rows[frame]))) return this.#presentWhenLoaded(frame);
    this.frame = frame;
    if (this.goal === frame) this.goal = null;
    this.emit("frame");
    this.panels.forEach((panel) => (panel.dataset.frame = frame));
    root.dataset.frame = frame;
    if (this.goal !== null && !video.seeking) video.currentTime = this.middleOf(this.goal);
    else if (!video.paused && range.to !== null && (frame >= range.to || frame < range.from)) video.currentTime = this.middleOf(range.from);
  }

  // One wait at a time: a playing video asks for every frame, and all of them end in one picture.
  async #presentWhenLoaded(frame) {
    const { run } = this;
    const loads = run.targets.map(({ layers, rows }) => layers.load(rows[frame]));
    if (this.#waiting === run) return;
    this.#waiting = run;
    await Promise.all(loads);
    if (this.#waiting === run) this.#waiting = null;
    if (this.run === run) this.present();
  }

  seek(frame) {
    if (!this.run) return;
    const { video } = this;
    // A film that plays or seeks is mostly past the frame that is painted, and would go on to its next picture.
    const atRest = video.paused && !video.seeking && this.#frameAt(this.#pictureTime) === this.frame;
    this.steered = true;
    video.pause();
    this.goal = Math.max(0, Math.min(this.last, frame));
    if (atRest && this.goal === this.frame) this.goal = null;
    else if (!video.seeking) video.currentTime = this.middleOf(this.goal); // else it follows the seek on its way
  }

  playOrPause() {
    const { video, frame, range, run } = this;
    if (!run || this.last === 0) return; // one frame plays to nothing, and its loop would never stand still
    this.steered = true;
    if (!video.paused) return void video.pause();
    if (range.to !== null && (frame < range.from || frame >= range.to)) video.currentTime = this.middleOf(range.from);
    else if (frame >= this.last) video.currentTime = 0;
    video.play().catch(() => {});
  }

  #followVideo() {
    const { video, root } = this;
    const markPlaying = (playing) => {
      root.dataset.playing = playing;
      this.find('[data-do="play"]').setAttribute("aria-label", playing ? "Pause" : "Play");
    };
    video.loop = true;
    video.addEventListener("emptied", () => (this.#pictureTime = null)); // another film
    video.addEventListener("play", () => markPlaying(true));
    video.addEventListener("pause", () => markPlaying(false));
    video.addEventListener("error", () => {
      if (this.run) this.find(".lt-reason").textContent = "This browser cannot play the result; the files below are complete.";
    });
    const show = (seconds) => {
      this.#pictureTime = seconds;
      this.present();
    };
    if (video.requestVideoFrameCallback) {
      // "seeked" may come before the picture does, so the picture's own message counts. Should a browser send none
      // (nothing new to show), the clock is right by then.
      let late = 0;
      const showLate = () => {
        clearTimeout(late);
        late = setTimeout(() => video.readyState >= 2 && !video.seeking && show(video.currentTime), 500);
      };
      for (const event of ["seeked", "loadeddata"]) video.addEventListener(event, showLate);
      const everyPicture = (now, { mediaTime }) => {
        clearTimeout(late);
        show(mediaTime);
        video.requestVideoFrameCallback(everyPicture);
      };
      video.requestVideoFrameCallback(everyPicture);
    } else {
      for (const event of ["seeked", "loadeddata"]) video.addEventListener(event, () => show(video.currentTime));
      const everyRefresh = () => {
        if (!video.paused) show(video.currentTime);
        if (root.isConnected) requestAnimationFrame(everyRefresh);
      };
      requestAnimationFrame(everyRefresh);
    }
  }
}
