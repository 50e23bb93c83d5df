// What if the fusion had other settings: every change is decided anew by the server, without any network.
import { make } from "./dom.js";

const KNOBS = [
  { name: "rule", label: "Believe", choices: { fused: "the fusion of both", language: "language", tracker: "tracker" } },
  { name: "rectangle", label: "Rectangle", choices: { enclosing: "upright", rotated: "rotated" } },
  { name: "start", label: "Found from a confidence of", max: 1, step: 0.01 },
  { name: "lost", label: "Lost below a confidence of", max: 1, step: 0.01 },
  { name: "margin", label: "Language is clearly better by", max: 1, step: 0.01 },
  { name: "reanchor_after", label: "… on so many frames in a row", min: 1, max: 30, step: 1 },
  { name: "distrust_rate", label: "A contradicted tracker is doubted by", max: 1, step: 0.01 },
  { name: "overlap", label: "Branches agree from an overlap of", max: 1, step: 0.01 },
  { name: "every", label: "Language asked on every … frame", min: 1, max: 30, step: 1 },
];
const MAX_WAIT_MS = 4000; // for an answer; a lost one must not block the next question

export function whatIfTool(player, server) {
  const { find } = player;
  let wish = null; // settings that wait for the server
  let busy = false;

  function set(name, value) {
    wish = { ...player.target.settings, ...wish, [name]: value };
    if (!busy) decide();
  }

  async function decide() {
    busy = true;
    while (wish !== null) {
      const [settings, target] = [wish, player.target];
      wish = null;
      const late = new Promise((resolve) => setTimeout(resolve, MAX_WAIT_MS, null));
      const reply = await Promise.race([server.question("act", { do: "what_if", settings }), late]);
      if (target === player.target) take(reply);
    }
    busy = false;
  }

  function take(reply) {
    if (!reply) return;
    const { target } = player;
    if (!target.what_if) target.before = { source: target.source };
    const { columns, settings, what_if, changed, notes } = reply;
    Object.assign(target, columns, { settings, what_if, changed, notes, stale: true });
    if (!what_if) target.before = null;
    player.emit("track");
  }

  function knob({ name, label, choices, min, max, step }) {
    const field = make(choices ? "fieldset" : "label", "", { class: choices ? "lt-choice" : "lt-knob", "data-knob": name });
    if (choices) {
      field.append(make("legend", label));
      for (const [value, text] of Object.entries(choices)) {
        const radio = make("input", "", { type: "radio", name: "lt-knob-" + name, value });
        radio.addEventListener("change", () => set(name, value));
        const option = make("label");
        option.append(radio, make("span", text));
        field.append(option);
      }
      return field;
    }
    const slider = make("input", "", { type: "range", min: min || 0, max, step });
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
    for (const { name, choices } of KNOBS) {
      const field = find(`[data-knob="${name}"]`);
      const value = target.settings[name];
      field.classList.toggle("lt-moved", value !== target.recorded[name]);
      if (choices) field.querySelectorAll("input").forEach((radio) => (radio.checked = radio.value === value));
      else if (document.activeElement !== field.querySelector("input") || wish === null) {
        field.querySelector("input").value = value;
        field.querySelector("output").textContent = value;
      }
    }
    const notes = target.notes.join(" ");
    find(".lt-changed").textContent = (target.what_if ? "Other settings: " + target.changed + " frames of " + target.index.length + " change." : "As recorded.") + (notes ? " " + notes : "");
    find('[data-ask="reset"]').disabled = !target.what_if;
  }

  find(".lt-knobs").append(...KNOBS.map(knob));
  player.on("track", describe);
  player.onAsk("reset", () => {
    wish = null;
    server.question("act", { do: "what_if", settings: null }).then(take);
  });
}
