// What the server says: `props.value` is the state of the page's run, see player.py.
const STAGES = { waiting: "Waiting for a free place", opening: "Opening the clip", following: "Following", writing: "Writing the files", stopping: "Stopping after this frame" };

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? whole + " s" : Math.floor(whole / 60) + " min " + (whole % 60) + " s";
}

const KINDS = { correct: "Correcting", compare: "Comparing", export: "Making the files", open: "Opening the saved run" };

function showProgress(value) {
  const bar = find(".lt-bar");
  if (value.total) bar.value = Math.min(1, value.frames / value.total);
  else bar.removeAttribute("value");
  const count = value.frames ? " frame " + value.frames + (value.total ? " of " + value.total : "") : "";
  const ahead = value.position > 1 ? ": " + (value.position - 1) + " ahead of you" : "";
  const stage = value.stage === "following" && KINDS[value.kind] ? KINDS[value.kind] : STAGES[value.stage] || "";
  find(".lt-stage").textContent = stage + (value.stage === "waiting" ? ahead + "…" : count ? "," + count : "…");
  const figures = [];
  if (value.fps) figures.push(value.fps.toFixed(1) + " frames a second");
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
find(".lt-cancel").addEventListener("click", () => trigger("stop"));

function forget() {
  doc = null;
  shown = -1;
  wanted = null;
  truth = null;
  unpacked.clear();
  delete root.dataset.frame;
  film.pause();
  film.removeAttribute("src");
  complain("");
  find(".lt-who").textContent = "";
  find(".lt-targets").replaceChildren();
}

const size = (bytes) => (bytes < 1e6 ? Math.max(1, Math.round(bytes / 1e3)) + " kB" : (bytes / 1e6).toFixed(1) + " MB");

function link(anchor, file) {
  anchor.href = file.file.url;
  anchor.download = file.name;
  return anchor;
}

function listFiles() {
  const who = target();
  const { files, bundle } = who.downloads;
  const anchor = find(".lt-bundle");
  anchor.hidden = !bundle;
  if (bundle) link(anchor, bundle).querySelector("span").textContent = "Download all (ZIP, " + size(bundle.bytes) + ")";
  const fresh = find('[data-ask="export"]');
  fresh.hidden = !who.stale;
  find(".lt-stale").hidden = !(who.stale && bundle);
  find(".lt-list").replaceChildren(
    ...files.map((file) => {
      const anchor = link(make("a"), file);
      anchor.append(make("b", file.name), make("i", size(file.bytes)), make("span", file.note));
      const item = make("li");
      item.append(anchor);
      return item;
    }),
  );
}

function inkOf(colour) {
  const number = parseInt(colour.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

// The same clip as before: the page stays at its frame and with its target, and the film is not loaded anew.
function open(value) {
  const src = value.film.url;
  const same = doc !== null && doc.src === src;
  const [frame, id] = doc === null ? [0, null] : [Math.max(0, here()), target().id];
  if (!same) forget();
  const said = JSON.parse(value.run);
  doc = { ...said, src, time_s: clockFrom(said.targets, said.frames, said.fps) };
  doc.targets.forEach((who, k) => {
    who.rows = new Int32Array(doc.frames).fill(-1);
    who.index.forEach((place, row) => (who.rows[place] = row));
    who.layers = new Layers(value.maps[k].url, who.map);
    who.ink = inkOf(who.colour);
    who.downloads = value.files[k];
  });
  const before = doc.targets.findIndex((who) => who.id === id);
  active = value.newest || before < 0 ? doc.targets.length - 1 : before;
  root.dataset.painted = "yes";
  range.max = last();
  setLoop(null, null);
  stopDrawing();
  setDraft(null);
  hints = { place: -1, boxes: [] };
  find(".lt-sentence").value = "";
  showTarget();
  if (same) return void present(film.currentTime);
  const begin = Math.min(last(), Math.max(frame, target().index[0]));
  film.src = src;
  film.addEventListener("loadedmetadata", () => (film.currentTime = middleOf(begin)), { once: true });
  film.load();
  if (!document.activeElement.matches("input, textarea, select")) root.focus({ preventScroll: true }); // its keys work at once
  if (!calm.matches && !frame) film.addEventListener("canplay", () => root.dataset.state === "done" && film.play().catch(() => {}), { once: true });
}

function showTarget() {
  find(".lt-title").textContent = titleOf(target());
  listTargets();
  listFiles();
  listVerdicts();
  listGrid();
  showTruth();
  describeKnobs();
  describeCorrect();
  drawStrip();
  paint();
  if (shown >= 0) describe();
}

function listTargets() {
  const several = doc.targets.length > 1;
  find(".lt-targets").replaceChildren(
    ...(several ? doc.targets : []).map((who, k) => {
      const chip = make("button", k + 1 + " " + (who.expression || "box"), { type: "button", class: "lt-chip", "aria-pressed": k === active });
      chip.style.setProperty("--lt-own", css(who.ink));
      chip.addEventListener("click", () => choose(k));
      return chip;
    }),
    ...(several ? [removeChip()] : []),
  );
}

function removeChip() {
  const chip = make("button", "×", { type: "button", class: "lt-chip lt-remove", "aria-label": "Remove this target", title: "Remove this target" });
  chip.addEventListener("click", () => question("act", { do: "remove" }));
  return chip;
}

function choose(k) {
  active = k;
  showTarget();
}

function update() {
  const value = props.value || { state: "empty" };
  if (value.token) sessionStorage.setItem("langtrack", value.token);
  if (value.state === "empty") forget();
  film.pause();
  if (value.state === "empty" || (value.stage === "waiting" && !doc)) delete root.dataset.painted;
  if (value.state === "running" && root.dataset.state !== "running" && root.getBoundingClientRect().top > window.innerHeight * 0.6)
    root.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" }); // on a narrow page it is below the form
  root.dataset.state = value.state;
  if (value.state === "empty") find(".lt-title").textContent = "What you get: four views of one run";
  if (value.state === "running") {
    find(".lt-title").textContent = value.title;
    showProgress(value);
  }
  if (value.state !== "done") return;
  open(value);
  if (value.newest) askRegions(true);
}
followFilm();
watch("value", update);
update();
