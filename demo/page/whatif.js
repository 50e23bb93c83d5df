// What if the fusion had other settings: every change is decided anew by the server, without any network.
import { framesText, make } from "./dom.js";

// Milliseconds that an answer may take: a lost one must not block the next question, and most come in under 100.
const MAX_WAIT_MS = 4000;

export function whatIfTool(player, server) {
  const { find } = player;
  const fields = player.page.settings;
  const newest = new WeakMap(); // by target, what was chosen last: {run, settings (null: the recorded ones), answered}
  const waiting = new Map(); // by target: what waits for the answer to the choice before
  let busy = false;

  function ask(settings) {
    const choice = { run: player.run, settings, answered: false };
    newest.set(player.target, choice);
    waiting.set(player.target, choice);
    if (!busy) decide();
  }

  function set(name, value) {
    const { target } = player;
    const before = newest.get(target);
    ask({ ...(before && !before.answered ? before.settings || target.recorded : target.settings), [name]: value });
  }

  async function decide() {
    busy = true;
    while (waiting.size) {
      const [[target, choice]] = waiting;
      waiting.delete(target);
      const timeout = new Promise((resolve) => setTimeout(resolve, MAX_WAIT_MS));
      await Promise.race([send(target, choice), timeout]);
    }
    busy = false;
  }

  async function send(target, choice) {
    const { run, settings } = choice;
    const reply = await server.question("act", { do: "what_if", run: run.key, target: target.id, settings });
    choice.answered = true;
    const last = newest.get(target);
    if (last === choice || !last.answered) apply(run, target, reply); // else it comes late
  }

  function apply(run, target, reply) {
    if (!reply) return;
    if (!target.what_if) target.before = { source: target.source, outcome: target.outcome };
    const { columns, settings, what_if, changed, notes, stale } = reply;
    Object.assign(target, columns, { settings, what_if, changed, notes, stale });
    target.outcome = (!what_if && target.before?.outcome) || null; // the sentence beside the form is of the track as recorded
    Object.assign(run, { exports: [], bundle: null }); // they show the tracks before this
    if (!what_if) target.before = null;
    if (player.run === run) player.emit("track");
  }

  function fieldOf({ name, label, choices, low, high, step }) {
    const field = make(choices ? "fieldset" : "label", "", { class: choices ? "lt-choice" : "lt-setting", "data-setting": name });
    if (choices) {
      field.append(make("legend", label));
      for (const [value, text] of Object.entries(choices)) {
        const radio = make("input", "", { type: "radio", name: "lt-setting-" + name, value });
        radio.addEventListener("change", () => set(name, value));
        const option = make("label");
        option.append(radio, make("span", text));
        field.append(option);
      }
      return field;
    }
    const slider = make("input", "", { type: "range", min: low, max: high, step });
    const output = make("output");
    slider.addEventListener("input", () => {
      output.textContent = slider.value;
      set(name, Number(slider.value));
    });
    field.append(make("span", label), slider, output);
    return field;
  }

  function describe() {
    const { target } = player;
    for (const { name, choices } of fields) {
      const field = find(`[data-setting="${name}"]`);
      const value = target.settings[name];
      field.classList.toggle("lt-moved", value !== target.recorded[name]);
      if (choices) field.querySelectorAll("input").forEach((radio) => (radio.checked = radio.value === value));
      else if (document.activeElement !== field.querySelector("input") || !waiting.has(target)) {
        field.querySelector("input").value = value;
        field.querySelector("output").textContent = value;
      }
    }
    const notes = target.notes.join(" ");
    find(".lt-changed").textContent = (target.what_if ? "Other settings: " + framesText(target.changed) + " of " + target.index.length + (target.changed === 1 ? " changes." : " change.") : "As recorded.") + (notes ? " " + notes : "");
    find('[data-ask="reset"]').disabled = !target.what_if;
  }

  find(".lt-settings").append(...fields.map(fieldOf));
  player.on("track", describe);
  player.onAsk("reset", () => ask(null));
}
