// Words: several sentences beside each other, which word moved the mask, and what else the words could mean.
let grid = []; // [{who, canvas, note}] of the targets that are compared
let hints = { place: -1, boxes: [] };
const answer = find(".lt-answer");

ask.compare = () => {
  const texts = find(".lt-sentences").value.split("\n").map((line) => line.trim()).filter(Boolean);
  question("work", { do: "compare", texts });
};

function listGrid() {
  grid = [];
  const place = find(".lt-compared");
  place.replaceChildren();
  find(".lt-matrix").replaceChildren();
  if (doc.targets.length < 2) return;
  doc.targets.forEach((who, k) => {
    const figure = make("figure");
    const canvas = make("canvas");
    const caption = make("figcaption", "", { style: "--lt-own:" + css(who.ink) });
    const [name, note] = [make("b", k + 1 + " " + titleOf(who)), make("output")];
    caption.append(name, note);
    figure.append(canvas, caption);
    figure.addEventListener("click", () => choose(k));
    place.append(figure);
    grid.push({ who, canvas, note });
  });
  question("act", { do: "agreement" }).then((reply) => reply && doc && showAgreement(reply.agreement));
  paintGrid();
}

function paintGrid() {
  if (!doc || find("#lt-words").hidden || shown < 0) return;
  for (const { who, canvas, note } of grid) {
    const half = [Math.round(still.width / 2), Math.round(still.height / 2)];
    if (canvas.width !== half[0] || canvas.height !== half[1]) [canvas.width, canvas.height] = half;
    const context = canvas.getContext("2d");
    context.drawImage(still, 0, 0, ...half);
    const source = say("source", shown, who);
    note.textContent = percent(say("fused", shown, who), "");
    if (!source || source === "none") continue;
    layMask(context, who, fusedMap(who, source), who.ink, 0.4, null);
    frameBox(context, who, "fused", who.ink);
  }
}

// Mean overlap of each two tracks: dark where they follow the same thing.
function showAgreement({ matrix, targets }) {
  const known = new Map(doc.targets.map((who, k) => [who.id, k + 1]));
  const table = make("table");
  table.append(make("caption", "How far the tracks agree: mean overlap of each two"));
  const head = make("tr");
  head.append(make("th"), ...targets.map((id) => make("th", known.get(id), { scope: "col" })));
  table.append(head);
  matrix.forEach((line, k) => {
    const row = make("tr");
    row.append(make("th", known.get(targets[k]) + " " + titleOf(doc.targets[known.get(targets[k]) - 1]), { scope: "row" }));
    line.forEach((value, other) => {
      const cell = make("td", k === other ? "" : value === null ? "–" : value.toFixed(2));
      if (k !== other && value !== null) cell.style.setProperty("--lt-share", Math.round(value * 100) + "%");
      row.append(cell);
    });
    table.append(row);
  });
  find(".lt-matrix").replaceChildren(table);
}

// --- which word -----------------------------------------------------------------------------------------------

ask.words = async () => {
  answer.replaceChildren(make("p", "Looking at this frame without each word in turn…", { class: "lt-hint" }));
  const reply = await question("look", { do: "words", frame: here() });
  if (!reply) return answer.replaceChildren();
  const row = make("div", "", { class: "lt-sentence-words" });
  reply.words.forEach((word, k) => {
    const chip = make("span", word.word, { class: "lt-word" + (k === reply.decisive ? " lt-decisive" : "") });
    if (word.iou === null || word.iou === undefined) chip.title = "not known, or not tried";
    else {
      chip.style.setProperty("--lt-share", Math.round((1 - word.iou) * 100) + "%");
      chip.append(make("small", word.iou.toFixed(2)));
      chip.title = "without it the mask overlaps the full sentence's by " + word.iou.toFixed(2);
    }
    row.append(chip);
  });
  const decisive = reply.words[reply.decisive];
  const text = decisive ? "“" + decisive.word + "” moved the mask most: without it the overlap with the full sentence's mask is " + decisive.iou.toFixed(2) + "." : "No single word moved the mask on frame " + reply.frame + ".";
  answer.replaceChildren(make("p", text), row);
  askRegions();
};

// --- several things that the words could mean -------------------------------------------------------------------

async function askRegions(quiet = false) {
  const who = target();
  const frame = shown < 0 ? who.index[0] : here();
  if (!who.expression) return;
  const reply = await question("look", { do: "regions", frame });
  if (!reply || who !== target() || reply.count < 2) return;
  hints = { place: frame, boxes: reply.regions.map((region, k) => ({ box: region.box_xyxy, label: String(k + 1) })) };
  const text = reply.count + " separate regions are strong on frame " + frame + ". " + (quiet ? "The words may mean any of them." : "Which one is meant?");
  const row = make("div", "", { class: "lt-row" });
  reply.regions.forEach((region, k) => {
    if (region.means === null) return; // the network would not follow this completion
    const button = make("button", k + 1 + " " + region.completion, { type: "button", class: "lt-button" });
    button.addEventListener("click", () => {
      find(".lt-sentence").value = region.text;
      openTool("correct");
    });
    row.append(button);
  });
  find(".lt-regions").replaceChildren(make("p", text), row);
  if (quiet) complain(text + " See the tab “Words”.", "warning");
  paint();
}
