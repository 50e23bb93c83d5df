// Words: several sentences beside each other, which word moved the mask, and what else the words could mean.
import { make, percent, titleOf } from "./dom.js";
import { css } from "./paint.js";

// Names of the regions that the words fit; targets have numbers. The server sends at most three.
const LETTERS = ["A", "B", "C"];

export function wordsTool(player, server, { frameCanvas, paintTrack }) {
  const { find } = player;
  const answer = find(".lt-answer");
  let grid = []; // {target, canvas, output} of the targets that are compared
  let sources = []; // their columns `source` when the agreement was asked for: new ones when tracks are decided anew
  let subject = ""; // the run and the target that the answers about its words are of

  // --- sentences beside each other ------------------------------------------------------------------------

  function listGrid() {
    grid = [];
    const { targets } = player.run;
    find('[data-ask="end-comparison"]').hidden = !targets.some((target) => target.compared);
    find(".lt-compared").replaceChildren();
    find(".lt-matrix").replaceChildren();
    sources = [];
    if (targets.length < 2) return;
    grid = targets.map((target, k) => {
      const [figure, canvas, output] = [make("figure"), make("canvas"), make("output")];
      const caption = make("figcaption", "", { style: "--lt-own:" + css(target.ink) });
      const pressed = k === player.active; // a click on it is one on the figure
      caption.append(make("button", k + 1 + " " + titleOf(target), { type: "button", "aria-pressed": pressed }), output);
      if (target.compared) {
        const keep = make("button", "Keep", { type: "button", class: "lt-button", title: "Keep it as a target of this video" });
        keep.addEventListener("click", (event) => {
          event.stopPropagation();
          server.question("show", { do: "keep", target: target.id });
        });
        caption.append(keep);
      }
      figure.append(canvas, caption);
      figure.addEventListener("click", () => player.choose(k));
      find(".lt-compared").append(figure);
      return { target, canvas, output };
    });
    askAgreement();
  }

  // The agreement of tracks that were decided anew goes, and comes again where it is seen.
  async function askAgreement() {
    if (!player.run || grid.length < 2 || grid.every(({ target }, k) => target.source === sources[k])) return;
    find(".lt-matrix").replaceChildren();
    if (player.tool !== "words") return;
    const asked = (sources = grid.map(({ target }) => target.source));
    const reply = await server.question("act", { do: "agreement" });
    if (reply && player.run && sources === asked) showAgreement(reply.agreement);
  }

  function paintGrid() {
    if (!player.run || player.tool !== "words" || player.frame < 0) return;
    const [width, height] = [Math.round(frameCanvas.width / 2), Math.round(frameCanvas.height / 2)];
    for (const { target, canvas, output } of grid) {
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      const context = canvas.getContext("2d");
      context.drawImage(frameCanvas, 0, 0, width, height);
      output.textContent = percent(player.value("fused", player.frame, target), "");
      paintTrack(context, target, target.ink, 0.4);
    }
  }

  // The mean overlap of each pair of tracks, darker where they follow the same thing.
  function showAgreement({ matrix, targets }) {
    const order = new Map(player.run.targets.map((target, k) => [target.id, k]));
    const table = make("table");
    table.append(make("caption", "How far the tracks agree: mean overlap of each pair"));
    const head = make("tr");
    head.append(make("th"), ...targets.map((id) => make("th", order.get(id) + 1, { scope: "col" })));
    table.append(head);
    matrix.forEach((line, k) => {
      const own = order.get(targets[k]);
      const row = make("tr");
      row.append(make("th", own + 1 + " " + titleOf(player.run.targets[own]), { scope: "row" }));
      line.forEach((value, other) => {
        const cell = make("td", k === other ? "" : value === null ? "–" : value.toFixed(2));
        if (k !== other && value !== null) cell.style.setProperty("--lt-share", Math.round(value * 100) + "%");
        row.append(cell);
      });
      table.append(row);
    });
    find(".lt-matrix").replaceChildren(table);
  }

  // --- which word -----------------------------------------------------------------------------------------

  function chipOf({ word, iou }, decisive) {
    const chip = make("span", word, { class: "lt-word" + (decisive ? " lt-decisive" : "") });
    if (iou === null || iou === undefined) {
      chip.title = "The word is not known, or was not tried.";
      return chip;
    }
    const share = Math.round((1 - iou) * 100);
    chip.style.setProperty("--lt-share", share + "%");
    chip.append(make("small", percent(share / 100)));
    chip.title = "Without this word, " + percent(share / 100) + " of the mask is another one.";
    return chip;
  }

  async function askWords() {
    answer.replaceChildren(make("p", "Looking at this frame without each word in turn…", { class: "lt-hint" }));
    const asked = subject;
    const reply = await server.question("look", { do: "words", frame: player.here });
    if (asked !== subject) return;
    if (!reply) return answer.replaceChildren();
    const row = make("div", "", { class: "lt-sentence-words" });
    row.append(...reply.words.map((word, k) => chipOf(word, k === reply.decisive)));
    const decisive = reply.words[reply.decisive];
    const text = decisive
      ? "“" + decisive.word + "” matters most. A word's figure says how much of the mask changes without it: " + percent(1) + " means that it goes elsewhere."
      : "No single word moves the mask on frame " + reply.frame + ".";
    answer.replaceChildren(make("p", text), row);
    askRegions();
  }

  // --- several things that the words could mean -----------------------------------------------------------

  // With `quiet` no user has asked, and the answer is a hint above the tools.
  async function askRegions(quiet = false) {
    const { target } = player;
    const frame = player.here;
    if (!target.expression) return;
    const reply = await server.question("look", { do: "regions", frame });
    if (!reply || !player.run || target !== player.target || reply.count < 2) return;
    player.hints = { frame, boxes: reply.regions.map((region, k) => ({ box: region.box_xyxy, label: LETTERS[k] })) };
    const text = reply.count + " separate regions fit the words on frame " + frame + ". " + (quiet ? "The words may mean any of them." : "Which one is meant?");
    const row = make("div", "", { class: "lt-row" });
    reply.regions.forEach((region, k) => {
      if (region.means === null) return; // the network would not follow this completion
      const button = make("button", LETTERS[k] + " " + region.completion, { type: "button", class: "lt-button" });
      button.addEventListener("click", () => {
        find(".lt-sentence").value = region.text;
        player.openTool("correct");
      });
      row.append(button);
    });
    find(".lt-regions").replaceChildren(make("p", text), row);
    if (quiet) player.notify(text + " See the tab “Words”.", "warning");
    player.emit("look");
  }

  function setSubject(name) {
    if (name === subject) return;
    subject = name;
    forgetHints();
    [answer, find(".lt-regions")].forEach((place) => place.replaceChildren());
  }

  const forgetHints = () => (player.hints = { frame: -1, boxes: [] });
  player.on("run", () => {
    forgetHints();
    if (!player.run) setSubject("");
  });
  player.on("target", () => setSubject(player.run.key + " " + player.target.id));
  player.on("target", listGrid);
  player.on("frame track tool", paintGrid);
  player.on("track tool", askAgreement);
  player.onAsk("words", askWords);
  player.onAsk("end-comparison", () => server.question("show", { do: "end_comparison" }));
  player.onAsk("compare", () => {
    const texts = find(".lt-sentences").value.split("\n").map((line) => line.trim()).filter(Boolean);
    server.question("work", { do: "compare", texts });
  });

  return { askRegions };
}
