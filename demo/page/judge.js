// Verdicts: which branch was right, per frame or range; and the frames that are worth judging next.
import { groupsOf } from "./autosave.js";
import { make, save, titleOf } from "./dom.js";
import { VERDICTS } from "./verdicts.js";

// Which branch a panel shows; the fused one shows the verdict itself.
const BRANCH_OF = { mask: "language", rectangle: "language", tracker: "tracker" };

const MAX_LINES = 300; // of the list of verdicts: more would make every key slow, and nobody scrolls that far

export function judgeTool(player, server, { change }) {
  const { find, all } = player;
  const noteField = find(".lt-note-text");
  let queue = { of: null, episodes: [], now: null }; // disagreements of the decision `of`, the one that is shown

  const frames = () => player.target.verdicts.frames;

  // The page shows a verdict at once, and the server's answer replaces it. Without a verdict and a note both are cleared.
  function judge(verdict, note = null) {
    const [first, last] = player.range.from === null ? [player.here, player.here] : [player.range.from, player.range.to];
    const clear = verdict === null && note === null;
    if (!player.target.rows.slice(first, last + 1).some((row) => row >= 0)) {
      find(".lt-saved").textContent = (first === last ? "Frame " + first + " is" : "These frames are") + " not in this track";
      return;
    }
    for (let frame = first; frame <= last; frame++) {
      if (player.target.rows[frame] < 0) continue; // not of the track, and the server takes no verdict there
      const before = frames()[frame];
      if (clear) delete frames()[frame];
      else frames()[frame] = { verdict: verdict || before?.verdict || null, note: note === null ? before?.note || "" : note, stale: verdict ? false : Boolean(before?.stale) };
    }
    player.emit("track");
    change(player.target, [clear ? { first, last, clear } : { first, last, verdict, note }]);
    const { now } = queue;
    if (verdict && now && now.first === first && now.last === last) nextDisagreement();
  }

  function showBadge(panel, entry) {
    const badge = panel.querySelector(".lt-badge");
    const verdict = entry?.verdict;
    const branch = BRANCH_OF[panel.dataset.panel];
    const right = verdict === "both" || verdict === branch;
    if (verdict && verdict !== "absent" && branch) badge.textContent = right ? "✓ right" : "✗ wrong";
    else badge.textContent = verdict ? VERDICTS[verdict].text : entry ? "note" : "";
    if (entry?.stale) badge.textContent += ", before a correction";
    badge.classList.toggle("lt-outdated", Boolean(entry?.stale));
    badge.dataset.right = verdict && verdict !== "absent" && branch ? right : "";
  }

  function describe() {
    const { frame, range, run } = player;
    if (!run || frame < 0) return;
    const place = range.from === null ? "Frame " + frame : "Frames " + range.from + " to " + range.to;
    find("#lt-judge .lt-where").textContent = place + " of " + titleOf(player.target);
    const entry = frames()[frame];
    for (const panel of player.panels) showBadge(panel, entry);
    all("[data-verdict]").forEach((button) => button.setAttribute("aria-pressed", entry?.verdict === button.dataset.verdict));
    if (document.activeElement !== noteField) noteField.value = entry?.note || "";
  }

  function list() {
    find(".lt-marks").replaceChildren(
      ...groupsOf(frames()).slice(0, MAX_LINES).map(({ first, last, verdict, note, stale }) => {
        const text = (first === last ? "Frame " + first : "Frames " + first + "–" + last) + " " + (verdict ? VERDICTS[verdict].text : "note");
        const jump = make("button", text + (note ? ": " + note : ""), { type: "button" });
        if (stale) jump.append(make("i", "before a correction"));
        jump.style.setProperty("--lt-own", verdict ? "var(--lt-" + VERDICTS[verdict].ink + ")" : "transparent");
        jump.addEventListener("click", () => player.seek(first));
        const item = make("li");
        item.append(jump);
        return item;
      }),
    );
  }

  // Whether a frame of an episode is still to be judged.
  const isOpen = ({ first, last }) => {
    for (let frame = first; frame <= last; frame++) if (player.target.rows[frame] >= 0 && (!frames()[frame]?.verdict || frames()[frame].stale)) return true;
    return false;
  };

  // The next open episode after the one that is shown, or after the frame; behind the last comes the first.
  async function nextDisagreement() {
    const { source } = player.target; // a new column whenever the track is decided anew
    if (queue.of !== source) {
      const reply = await server.question("act", { do: "episodes" });
      if (!reply || !player.run || source !== player.target.source) return;
      queue = { of: source, episodes: reply.episodes, now: null };
    }
    const open = queue.episodes.filter(isOpen);
    const after = queue.now ? queue.now.first : player.here - 1;
    const next = open.find(({ first }) => first > after) || open[0];
    const line = find(".lt-queue");
    queue.now = next || null;
    if (!next) {
      player.setRange(null, null);
      line.textContent = queue.episodes.length ? "All disagreements are judged." : "The branches do not disagree on any frame.";
      return;
    }
    player.setRange(next.first, next.last);
    player.seek(next.peak);
    player.openTool("judge");
    const place = next.first === next.last ? "Frame " + next.first : "Frames " + next.first + " to " + next.last;
    line.textContent = place + ": " + next.why + ". " + open.length + " of " + queue.episodes.length + " to judge.";
  }

  async function download(form) {
    const reply = await server.question("act", { do: "verdicts_file", form });
    if (reply) save(reply.download);
  }

  player.on("frame track range", describe);
  player.on("track", list);
  player.on("target", () => {
    queue.now = null;
    find(".lt-queue").textContent = "";
  });
  player.onAsk("next", nextDisagreement);
  player.onAsk("json", () => download("json"));
  player.onAsk("csv", () => download("csv"));
  server.onUpload("verdicts", async (paths) => {
    const { target } = player;
    const reply = await server.question("act", { do: "load_verdicts", paths });
    if (!reply) return;
    target.verdicts = reply.verdicts;
    if (player.run && player.target === target) player.emit("track");
    const { skipped } = reply.verdicts;
    player.notify("The verdicts are loaded" + (skipped ? ", but for " + skipped + " on frames that this track does not have." : "."), "good");
  });
  all("[data-verdict]").forEach((button) => button.addEventListener("click", () => player.run && judge(button.dataset.verdict || null)));
  noteField.addEventListener("focus", () => player.video.pause()); // the note is for the frame on which it is begun
  noteField.addEventListener("change", () => player.run && judge(null, noteField.value.trim()));
  player.on("leave", () => player.run && document.activeElement === noteField && noteField.value.trim() !== (frames()[player.here]?.note || "") && judge(null, noteField.value.trim()));
  noteField.addEventListener("keydown", (event) => event.key === "Enter" && noteField.blur());

  return { judge, nextDisagreement };
}
