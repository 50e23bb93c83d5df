// Verdicts: which branch was right, per frame or range; and the frames that are worth judging next.
const VERDICTS = {
  language: { ink: "lgm", text: "language right" },
  tracker: { ink: "siam", text: "tracker right" },
  both: { ink: "good", text: "both right" },
  neither: { ink: "ink", text: "neither right" },
  absent: { ink: "soft", text: "absent" },
};

const judged = (place, who = target()) => who.verdicts.frames[place] || null;
const verdictAt = (place) => (judged(place) || {}).verdict || null;

function verdictText(place) {
  const one = judged(place);
  if (!one) return "";
  return " · judged: " + (one.verdict ? VERDICTS[one.verdict].text : "note") + (one.note ? " (" + one.note + ")" : "");
}

const judgedRange = () => (loop.from === null ? [here(), here()] : [loop.from, loop.to]);

function takeVerdicts(reply) {
  target().verdicts = reply.verdicts;
  listVerdicts();
  drawStrip();
  describeJudge(shown);
}

// Shown at once; the server's answer then replaces it.
function judge(says, note = null) {
  const [first, last] = judgedRange();
  const frames = target().verdicts.frames;
  for (let place = first; place <= last; place++) {
    if (says === null && note === null) delete frames[place];
    else frames[place] = { verdict: says || verdictAt(place), note: note === null ? (judged(place) || {}).note || "" : note };
  }
  drawStrip();
  describeJudge(shown);
  const what = says === null && note === null ? { do: "clear" } : { do: "verdict", says, note };
  question("act", { ...what, first, last }).then((reply) => reply && takeVerdicts(reply));
}

all("[data-verdict]").forEach((button) => button.addEventListener("click", () => doc && judge(button.dataset.verdict || null)));
find(".lt-note-text").addEventListener("change", (event) => doc && judge(null, event.target.value.trim()));
find(".lt-note-text").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());

function describeJudge(place) {
  const one = judged(place);
  all("[data-verdict]").forEach((button) => button.setAttribute("aria-pressed", Boolean(one) && one.verdict === button.dataset.verdict));
  const note = find(".lt-note-text");
  if (document.activeElement !== note) note.value = one ? one.note || "" : "";
}

// Frames in a row with one verdict and note are one line.
function listVerdicts() {
  const frames = target().verdicts.frames;
  const groups = [];
  for (const place of Object.keys(frames).map(Number).sort((a, b) => a - b)) {
    const { verdict, note } = frames[place];
    const open = groups[groups.length - 1];
    if (open && open.last === place - 1 && open.verdict === verdict && open.note === note) open.last = place;
    else groups.push({ first: place, last: place, verdict, note });
  }
  find(".lt-marks").replaceChildren(
    ...groups.slice(0, 300).map(({ first, last, verdict, note }) => {
      const text = (first === last ? "Frame " + first : "Frames " + first + "–" + last) + " " + (verdict ? VERDICTS[verdict].text : "note");
      const jump = make("button", text + (note ? ": " + note : ""), { type: "button" });
      jump.style.setProperty("--lt-own", verdict ? "var(--lt-" + VERDICTS[verdict].ink + ")" : "transparent");
      jump.addEventListener("click", () => seek(first));
      const item = make("li");
      item.append(jump);
      return item;
    }),
  );
}

let queue = { of: null, visited: new Set() };

async function nextDisagreement() {
  if (queue.of !== target()) queue = { of: target(), visited: new Set() };
  const reply = await question("act", { do: "queue" });
  if (!reply) return;
  const left = reply.queue.filter((one) => !queue.visited.has(one.frame));
  if (left.length === 0) {
    queue.visited.clear();
    return void (find(".lt-queue").textContent = reply.queue.length ? "That was the last one. Again from the start with D." : "No frame is left on which the branches disagree.");
  }
  const [next] = left;
  queue.visited.add(next.frame);
  setLoop(null, null);
  seek(next.frame);
  openTool("judge");
  find(".lt-queue").textContent = "Frame " + next.frame + ": " + next.why + ". " + (left.length - 1) + " more to look at.";
}
ask.next = nextDisagreement;
for (const form of ["json", "csv"])
  ask[form] = () => question("act", { do: "verdicts_file", form }).then((reply) => reply && save(reply.download));
