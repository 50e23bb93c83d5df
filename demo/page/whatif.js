// What if the fusion had other settings: every change is decided anew by the server, without any network.
import { make } from "./dom.js";

const MAX_WAIT_MS = 4000; // for an answer; a lost one must not block the next question

export function whatIfTool(player, server) {
  const { find } = player;
  const knobs = player.page.settings;
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

  function knobOf({ name, label, choices, low, high, step }) {
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
    for (const { name, choices } of knobs) {
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

  find(".lt-knobs").append(...knobs.map(knobOf));
  player.on("track", describe);
  player.onAsk("reset", () => {
    wish = null;
    server.question("act", { do: "what_if", settings: null }).then(take);
  });
}
