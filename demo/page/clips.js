// Many clips in a row: the list, the verdict on each, and going from one to the next. The list stands beside the
// player, in the column of the form; see clips.html.
import { LOW, make, NARROW, save } from "./dom.js";

const KEYS = { 1: "right", 2: "partly", 3: "wrong", 4: "absent", 5: "unclear", 6: null };
const MARKS = { right: "✓", partly: "~", wrong: "✗", absent: "∅", unclear: "?" };

export function clipsTool(player, server) {
  const { root } = player;
  const panel = document.querySelector("#clips .lt-clips");
  const find = (selector) => panel.querySelector(selector);
  const all = (selector) => [...panel.querySelectorAll(selector)];
  const filter = find(".lt-clips-filter");
  const lines = find(".lt-clips-list");
  let list = null; // see `ClipList.state`
  let opening = false; // a clip is on its way; until it is there no verdict counts

  const words = () => document.querySelector("#text textarea, #text input")?.value || "";
  const notOn = () => !list || opening || root.dataset.state === "running";

  // What belongs to the list stands there; the tools' own line may be far down.
  const say = (text) => (find(".lt-clips-message").textContent = text);

  async function open(place) {
    opening = true;
    // Only a refusal is answered; otherwise the whole value of the page comes.
    say("");
    await server.question("show", { do: "open_clip", text: words(), filter: filter.value, ...place });
    opening = false;
    say(player.message);
  }

  async function judge(verdict) {
    if (notOn() || list.now === null) return;
    opening = true;
    const reply = await server.question("act", { do: "clip_verdict", index: list.now, verdict });
    opening = false;
    if (!reply) return say(player.message);
    show(reply.clips);
    if (verdict !== null) open({ step: 1, unjudged: true });
  }

  // The folder that all of them lie in is said by none.
  function shared() {
    const [first, ...others] = list.clips.map((clip) => clip.name.slice(0, clip.name.lastIndexOf("/") + 1));
    return others.every((folder) => folder === first) ? first : "";
  }

  const fits = (clip) => ({ all: true, open: !clip.verdict, disagreeing: clip.disagreements > 0, lost: clip.frames_lost > 0 })[filter.value];

  function lineOf(clip, index, folder) {
    const about = [clip.targets > 1 ? clip.targets + " targets" : "", clip.disagreements ? "disagree " + clip.disagreements + "×" : "", clip.frames_lost ? "lost on " + clip.frames_lost : ""].filter(Boolean).join(", ");
    const quoted = clip.expression ? " · “" + clip.expression + "”" : "";
    const line = make("button", "", { type: "button", title: clip.name + quoted, "aria-current": index === list.now, "data-verdict-of-clip": clip.verdict || "" });
    line.append(make("b", MARKS[clip.verdict] || "·"), make("span", clip.name.slice(folder.length) + quoted), make("i", about));
    line.addEventListener("click", () => !notOn() && open({ index }));
    const item = make("li");
    item.append(line);
    return item;
  }

  function show(state) {
    list = state;
    const isNew = panel.hidden;
    panel.hidden = !list;
    if (!list) return;
    if (isNew) panel.scrollIntoView({ block: "nearest" }); // the files were chosen at the end of the page
    find(".lt-clips-progress").textContent = list.judged + " of " + list.clips.length + " judged";
    find("progress").max = list.clips.length;
    find("progress").value = list.judged;
    const folder = shared();
    lines.replaceChildren(...list.clips.map((clip, index) => (fits(clip) || index === list.now ? lineOf(clip, index, folder) : null)).filter(Boolean));
    const current = find("[aria-current=true]");
    if (current) lines.scrollTop = current.offsetTop - lines.offsetTop - (lines.clientHeight - current.offsetHeight) / 2;
    const verdict = list.now === null ? undefined : list.clips[list.now].verdict;
    all("[data-clip-verdict]").forEach((button) => button.setAttribute("aria-pressed", verdict === button.dataset.clipVerdict));
  }

  // `value` is that of the player: a new list begins with its first open clip.
  function update(value) {
    say("");
    if (value.state === "running") return;
    opening = false;
    show(value.clips || null);
    if (list && list.now === null && value.fresh_clips) open({ step: 1, filter: "open", first: true });
  }

  async function send(input) {
    const files = [...input.files];
    const names = files.map((file) => file.webkitRelativePath || file.name);
    input.value = "";
    if (!files.length) return;
    const unsaved = list?.unsaved || 0;
    const many = unsaved + (unsaved === 1 ? " clip" : " clips");
    const question = "The verdicts on " + many + " of this list are in no file (“Save as JSON”). Open others in its place?";
    if (unsaved && !window.confirm(question)) return;
    const paths = await server.send(files);
    if (paths) server.question("show", { do: "open_clips", paths, names });
  }

  async function continueFrom(input) {
    const files = [...input.files];
    input.value = "";
    const paths = files.length ? await server.send(files) : null;
    const reply = paths && (await server.question("act", { do: "load_clips", paths }));
    if (!reply) return say(player.message);
    show(reply.clips);
    if (list.now !== null) await open({ index: list.now }); // verdicts on its frames came along
    say(reply.taken + (reply.taken === 1 ? " verdict" : " verdicts") + " taken over.");
  }

  async function download(form) {
    const reply = await server.question("act", { do: "clips_file", form });
    if (!reply) return say(player.message);
    show(reply.clips);
    save(reply.download);
  }

  function onKey(event) {
    if (!root.isConnected) return document.removeEventListener("keydown", onKey);
    if (!list || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable], dialog")) return;
    const step = { j: 1, k: -1 }[event.key.toLowerCase()];
    if (step) open({ step });
    else if (event.key in KEYS && root.offsetParent) judge(KEYS[event.key]); // before a run the numbers choose a region
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", onKey);
  filter.addEventListener("change", () => show(list));
  all("[data-clip-step]").forEach((button) => button.addEventListener("click", () => open({ step: Number(button.dataset.clipStep) })));
  all("[data-clip-verdict]").forEach((button) => button.addEventListener("click", () => judge(button.dataset.clipVerdict)));
  all("[data-clip-file]").forEach((button) => button.addEventListener("click", () => download(button.dataset.clipFile)));
  player.all(".lt-many [type=file]").forEach((input) => input.addEventListener("change", () => send(input)));
  find("[type=file]").addEventListener("change", (event) => continueFrom(event.target));
  find(".lt-clips-result").open = !window.matchMedia(NARROW + ", " + LOW).matches;
  player.on("message", () => (player.find(".lt-many-message").textContent = root.dataset.state === "done" ? "" : player.message));
  player.parts.push(panel);

  return { update };
}
