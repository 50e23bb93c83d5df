// The player, put together. `props.value` is the state of the page's run, see player.py.
import { autosave } from "./autosave.js";
import { clipsTool } from "./clips.js";
import { closerLook } from "./closer.js";
import { correctTool } from "./correct.js";
import { describer } from "./describe.js";
import { make, NARROW, titleOf } from "./dom.js";
import { videoField } from "./field.js";
import { filesTool } from "./files.js";
import { judgeTool } from "./judge.js";
import { controls } from "./keys.js";
import { ChunkCache, Layers } from "./maps.js";
import { css, painter } from "./paint.js";
import { Player } from "./player.js";
import { showProgress } from "./progress.js";
import { connect } from "./server.js";
import { notePage, shelf } from "./shelf.js";
import { strip } from "./strip.js";
import { truthTool } from "./truth.js";
import { whatIfTool } from "./whatif.js";
import { wordsTool } from "./words.js";

export { mountPreview } from "./preview.js";

const EMPTY_TITLE = "What you get: four views of one run";

// [r, g, b] of a colour in the form #rrggbb.
const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

// With the token a reloaded page finds its run again.
function keepToken(token) {
  try {
    sessionStorage.setItem("langtrack", token);
  } catch {
    // this browser lets the page keep nothing
  }
}

// A run as the page uses it: its numbers, and what reads its maps.
function runOf(value, cache, onFailure) {
  const run = JSON.parse(value.run);
  run.src = value.player_video.url;
  run.frames = run.time_s.length;
  run.targets.forEach((target, k) => {
    target.rows = new Int32Array(run.frames).fill(-1); // of each of the video's frames in the target's columns
    target.index.forEach((frame, row) => (target.rows[frame] = row));
    target.layers = new Layers(value.maps[k].url, target.map, cache, onFailure);
    target.ink = channels(target.colour);
    target.downloads = value.files[k];
  });
  run.exports = value.exports;
  run.bundle = value.bundle;
  value.outcomes.forEach((outcome, k) => (run.targets[k].outcome = ["id", "frames", "found", "differ"].map((name) => outcome[name]).join("-")));
  run.cache = cache;
  return run;
}

// `component` is what Gradio hands to a component's program: element, props, trigger, upload, watch.
export function mount(component) {
  const { element, props, trigger, watch } = component;
  const player = new Player(element.querySelector(".lt-player"), props.page);
  const { video, find, root } = player;
  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");
  const cache = new ChunkCache();

  // The order of these calls is the order in which they hear of an event: pictures first.
  videoField();
  const server = connect(player, component);
  const pictures = painter(player);
  const { zoom } = closerLook(player, server, pictures);
  strip(player);
  describer(player);
  filesTool(player, server);
  const { judge, nextDisagreement } = judgeTool(player, server, autosave(player, server));
  const { correctionKeys } = correctTool(player, server);
  whatIfTool(player, server);
  const { askRegions } = wordsTool(player, server, pictures);
  truthTool(player, server);
  const { list: listRuns } = shelf(player, server);
  const clips = clipsTool(player, server);
  controls(player, { judge, nextDisagreement, correctionKeys, closer: zoom });
  player.on("target track", hideOthers);

  function closeRun() {
    player.close();
    cache.clear();
    player.notify("");
    find(".lt-targets").replaceChildren();
    find(".lt-own-notice").textContent = "";
  }

  const isField = (candidate) => candidate.matches("input, textarea, select");
  let fieldBefore = null; // the field that had the focus when the run began, and its text

  // The player's keys work when a run ends, unless somebody is typing meanwhile.
  function takeFocus() {
    const at = document.activeElement;
    const typing = isField(at) && !(fieldBefore?.field === at && fieldBefore.text === at.value);
    if (!typing && !root.contains(at)) root.focus({ preventScroll: true });
  }

  // The same run as before: the page stays at its frame and with its target. Another one begins at its beginning.
  function open(value) {
    const same = player.run !== null && player.run.src === value.player_video.url; // so the video is not loaded anew
    const left = player.run && { key: player.run.key, frame: player.here, id: player.target.id };
    if (!same) closeRun();
    const run = runOf(value, cache, () => player.notify("The masks of these frames could not be fetched; boxes and numbers are complete."));
    const { frame, id } = left?.key === run.key ? left : { frame: 0, id: null };
    const before = run.targets.findIndex((target) => target.id === id);
    player.active = before < 0 ? 0 : value.newest ? run.targets.length - 1 : before;
    root.dataset.painted = "yes";
    root.dataset.run = run.key;
    root.dataset.shape = run.size[1] > run.size[0] ? "tall" : "wide";
    player.open(run);
    player.begin = Math.min(player.last, Math.max(frame, player.target.index[0]));
    player.choose(player.active);
    takeFocus();
    if (same) return player.present();
    video.src = run.src;
    video.addEventListener("loadedmetadata", () => (video.currentTime = player.middleOf(player.begin)), { once: true });
    video.load();
    if (!reducedMotion.matches && !frame && player.last > 0) video.addEventListener("canplay", () => root.dataset.state === "done" && !player.steered && video.play().catch(() => {}), { once: true });
  }

  function listTargets() {
    const targets = player.run.targets.filter((target) => !target.compared);
    find(".lt-title").textContent = titleOf(player.target);
    const chips = targets.map((target) => {
      const k = player.run.targets.indexOf(target);
      const text = k + 1 + " " + (target.expression || "box");
      const chip = make("button", "", { type: "button", class: "lt-chip", "aria-pressed": k === player.active, title: text });
      chip.append(make("span", text));
      chip.style.setProperty("--lt-own", css(target.ink));
      chip.addEventListener("click", () => player.choose(k));
      return chip;
    });
    const remove = make("button", "×", { type: "button", class: "lt-chip lt-remove", "aria-label": "Remove this target", title: "Remove this target" });
    remove.addEventListener("click", () => server.question("show", { do: "remove" }));
    const { removed } = player.run;
    const restore = make("button", "Undo: remove " + (removed || "the box"), { type: "button", class: "lt-chip lt-remove" });
    restore.addEventListener("click", () => server.question("show", { do: "restore" }));
    find(".lt-targets").replaceChildren(...(targets.length > 1 ? [...chips, remove] : []), ...(removed === null ? [] : [restore]));
  }

  // Of the sentences beside the form those about other runs, other targets and other decisions are hidden.
  function hideOthers() {
    const others = { outcome: player.target.outcome, run: player.run.key };
    const rules = Object.entries(others).map(([name, own]) => `#notice [data-${name}]:not([data-${name}="${own}"]) { display: none; }`).join(" ");
    if (find(".lt-own-notice").textContent !== rules) find(".lt-own-notice").textContent = rules;
  }

  // On a phone a run comes first on the page; on a narrow window it may be below the form, or above the example that
  // was clicked. Corrections and exports leave the page where their tool is.
  function comeIntoSight(kind) {
    const { top } = root.getBoundingClientRect();
    if (window.matchMedia(NARROW).matches) window.scrollTo(0, 0);
    else if (top > window.innerHeight * 0.6 || (top < 0 && (kind === "follow" || kind === "open"))) root.scrollIntoView({ behavior: reducedMotion.matches ? "auto" : "smooth" });
  }

  function update() {
    const value = props.value || { state: "empty" };
    if (value.token) keepToken(value.token);
    notePage(value.token, value.work);
    if (value.state === "empty") closeRun();
    video.pause();
    if (value.state === "empty" || (value.stage === "waiting" && !player.run)) delete root.dataset.painted;
    const begins = value.state === "running" && root.dataset.state !== "running";
    // Until the first picture of a new run comes, the panels show the run before: paler, for the words are new.
    if (begins && value.kind === "follow") root.dataset.stale = "yes";
    else if (value.state !== "running") delete root.dataset.stale;
    if (begins) {
      const field = document.activeElement;
      fieldBefore = isField(field) ? { field, text: field.value } : null;
    }
    root.dataset.state = value.state;
    if (begins) comeIntoSight(value.kind);
    listRuns(value);
    if (value.state === "empty") find(".lt-title").textContent = EMPTY_TITLE;
    if (value.state === "running") {
      find(".lt-title").textContent = value.title;
      showProgress(player, value);
    }
    clips.update(value);
    if (value.state !== "done") return;
    open(value);
    if (value.newest && !player.target.edits.some((edit) => edit.box_xyxy)) askRegions(true); // else it is chosen
  }

  player.on("target", listTargets);
  find(".lt-cancel").addEventListener("click", () => trigger("stop"));
  watch("value", update);
  watch("reply", () => notePage(props.value?.token, props.reply?.work));
  update();
}
