// Verdicts: which branch was right, per frame or range; and the frames that are worth judging next.
import { make, save, titleOf } from "./dom.js";
import { VERDICTS } from "./verdicts.js";

// Which branch a panel shows; the fused one shows the verdict itself.
const BRANCH_OF = { mask: "language", rectangle: "language", tracker: "tracker" };

const MAX_LINES = 300; // of the list of verdicts: more would make every key slow, and nobody scrolls that far

export function judgeTool(player, server) {
  const { find, all } = player;
  const noteField = find(".lt-note-text");
  let queue = { target: null, visited: new Set() };

  const frames = () => player.target.verdicts.frames;

  function setVerdicts(reply) {
    if (!reply) return;
    player.target.verdicts = reply.verdicts;
    player.emit("track");
  }

  // The page shows a verdict at once, and the server's answer replaces it. Without a verdict and a note both are cleared.
  function judge(verdict, note = null) {
    const [first, last] = player.range.from === null ? [player.here, player.here] : [player.range.from, player.range.to];
    const clear = verdict === null && note === null;
    for (let frame = first; frame <= last; frame++) {
      const before = frames()[frame];
      if (clear) delete frames()[frame];
      else frames()[frame] = { verdict: verdict || before?.verdict || null, note: note === null ? before?.note || "" : note };
    }
    player.emit("track");
    const change = clear ? { do: "clear" } : { do: "verdict", verdict, note };
    server.question("act", { ...change, first, last }).then(setVerdicts);
  }

  function showBadge(panel, entry) {
    const badge = panel.querySelector(".lt-badge");
    const verdict = entry?.verdict;
    const branch = BRANCH_OF[panel.dataset.panel];
    const right = verdict === "both" || verdict === branch;
    if (verdict && verdict !== "absent" && branch) badge.textContent = right ? "✓ right" : "✗ wrong";
    else badge.textContent = verdict ? VERDICTS[verdict].text : entry ? "note" : "";
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

  // Frames in a row with one verdict and note are one line.
  function list() {
    const groups = [];
    for (const frame of Object.keys(frames()).map(Number).sort((a, b) => a - b)) {
      const { verdict, note } = frames()[frame];
      const group = groups.at(-1);
      if (group && group.last === frame - 1 && group.verdict === verdict && group.note === note) group.last = frame;
      else groups.push({ first: frame, last: frame, verdict, note });
    }
    find(".lt-marks").replaceChildren(
      ...groups.slice(0, MAX_LINES).map(({ first, last, verdict, note }) => {
        const text = (first === last ? "Frame " + first : "Frames " + first + "–" + last) + " " + (verdict ? VERDICTS[verdict].text : "note");
        const jump = make("button", text + (note ? ": " + note : ""), { type: "button" });
        jump.style.setProperty("--lt-own", verdict ? "var(--lt-" + VERDICTS[verdict].ink + ")" : "transparent");
        jump.addEventListener("click", () => player.seek(first));
        const item = make("li");
        item.append(jump);
        return item;
      }),
    );
  }

  async function nextDisagreement() {
    if (queue.target !== player.target) queue = { target: player.target, visited: new Set() };
    const reply = await server.question("act", { do: "queue" });
    if (!reply) return;
    const line = find(".lt-queue");
    const [next, ...others] = reply.queue.filter((entry) => !queue.visited.has(entry.frame));
    if (!next) {
      queue.visited.clear();
      line.textContent = reply.queue.length ? "That was the last one. Again from the start with D." : "No frame is left on which the branches disagree.";
      return;
    }
    queue.visited.add(next.frame);
    player.setRange(null, null);
    player.seek(next.frame);
    player.openTool("judge");
    line.textContent = "Frame " + next.frame + ": " + next.why + ". " + others.length + " more to look at.";
  }

  async function download(form) {
    const reply = await server.question("act", { do: "verdicts_file", form });
    if (reply) save(reply.download);
  }

  player.on("frame track range", describe);
  player.on("track", list);
  player.onAsk("next", nextDisagreement);
  player.onAsk("json", () => download("json"));
  player.onAsk("csv", () => download("csv"));
  server.onUpload("verdicts", async (paths) => {
    const reply = await server.question("act", { do: "load_verdicts", paths });
    setVerdicts(reply);
    if (reply) player.notify("The verdicts are loaded.", "good");
  });
  all("[data-verdict]").forEach((button) => button.addEventListener("click", () => player.run && judge(button.dataset.verdict || null)));
  noteField.addEventListener("change", () => player.run && judge(null, noteField.value.trim()));
  noteField.addEventListener("keydown", (event) => event.key === "Enter" && noteField.blur());

  return { judge, nextDisagreement };
}
