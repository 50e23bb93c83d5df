// What the server says: `props.value` is the state of the page's run, see player.py.
const STAGES = { waiting: "Waiting for a free place", opening: "Opening the clip", following: "Following", writing: "Writing the files", stopping: "Stopping after this frame" };

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
      if (root.dataset.state === "running") paintLive(picture);
      root.dataset.painted = "yes";
    };
    picture.src = "data:image/jpeg;base64," + value.picture;
  }
}

function forget() {
  doc = null;
  shown = -1;
  wanted = null;
  unpacked.clear();
  delete root.dataset.frame;
  film.pause();
  film.removeAttribute("src");
  stopDrawing();
  draft.box = null;
  complain("");
  panels.forEach((panel) => (panel.querySelector(".lt-note").textContent = ""));
  find(".lt-who").textContent = "";
  find(".lt-targets").replaceChildren();
}

const size = (bytes) => (bytes < 1e6 ? Math.max(1, Math.round(bytes / 1e3)) + " kB" : (bytes / 1e6).toFixed(1) + " MB");

function link(anchor, file) {
  anchor.href = file.file.url;
  anchor.download = file.name;
  return anchor;
}

function listFiles(value) {
  link(find(".lt-bundle"), value.bundle).querySelector("span").textContent = "Download all (ZIP, " + size(value.bundle.bytes) + ")";
  find(".lt-list").replaceChildren(
    ...value.files.map((file) => {
      const anchor = link(make("a"), file);
      anchor.append(make("b", file.name), make("i", size(file.bytes)), make("span", file.note));
      const item = make("li");
      item.append(anchor);
      return item;
    }),
  );
}

const COLOURS = [[255, 191, 51], [74, 222, 128], [192, 132, 252], [244, 114, 182], [45, 212, 191], [251, 146, 60]];

function open(value) {
  const same = doc && doc.src === value.film.url;
  const keep = same ? here() : 0;
  const before = same ? null : forget();
  const said = JSON.parse(value.run);
  doc = { ...said, src: value.film.url };
  doc.targets.forEach((who, k) => {
    who.layers = new Layers(value.maps[k].url, who.map);
    who.colour = COLOURS[k % COLOURS.length];
  });
  active = Math.min(value.active || 0, doc.targets.length - 1);
  root.dataset.painted = "yes";
  range.max = last();
  setLoop(null, null);
  listFiles(value);
  listTargets();
  drawStrip();
  if (same) return void present(film.currentTime);
  film.src = doc.src;
  film.load();
  if (!document.activeElement.matches("input, textarea, select")) root.focus({ preventScroll: true }); // its keys work at once
  if (!calm.matches) film.addEventListener("canplay", () => root.dataset.state === "done" && film.play().catch(() => {}), { once: true });
}

function listTargets() {
  const several = doc.targets.length > 1;
  find(".lt-targets").replaceChildren(
    ...(several ? doc.targets : []).map((who, k) => {
      const chip = make("button", who.name, { type: "button", class: "lt-chip", "aria-pressed": k === active });
      chip.style.setProperty("--lt-own", css(who.colour));
      chip.addEventListener("click", () => choose(k));
      return chip;
    }),
  );
}

function choose(k) {
  active = k;
  find(".lt-title").textContent = "“" + target().name + "”";
  listTargets();
  drawStrip();
  paint();
  describe();
}

function update() {
  const value = props.value || { state: "empty" };
  if (value.state !== "done" && doc) forget();
  if (value.state === "empty" || value.stage === "waiting") delete root.dataset.painted;
  if (value.state === "running" && root.dataset.state !== "running" && root.getBoundingClientRect().top > window.innerHeight * 0.6)
    root.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" }); // on a narrow page it is below the form
  root.dataset.state = value.state;
  find(".lt-title").textContent = value.title || "What you get: four views of one run";
  if (value.state === "running") showProgress(value);
  if (value.state === "done" && !(doc && doc.version === value.version)) open(value);
}
followFilm();
watch("value", update);
update();
