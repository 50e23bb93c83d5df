// What if the fusion had other settings: every change is decided anew by the server, without any network.
const KNOBS = [
  { name: "rule", label: "Believe", choices: { fused: "the fusion of both", language: "language", tracker: "tracker" } },
  { name: "rectangle", label: "Rectangle", choices: { enclosing: "upright", rotated: "rotated" } },
  { name: "start", label: "Found from a confidence of", max: 1, step: 0.01 },
  { name: "lost", label: "Lost below a confidence of", max: 1, step: 0.01 },
  { name: "margin", label: "Language is clearly better by", max: 1, step: 0.01 },
  { name: "patience", label: "… on so many frames in a row", min: 1, max: 30, step: 1 },
  { name: "doubt", label: "A contradicted tracker is doubted by", max: 1, step: 0.01 },
  { name: "overlap", label: "Branches agree from an overlap of", max: 1, step: 0.01 },
  { name: "every", label: "Language asked on every … frame", min: 1, max: 30, step: 1 },
];
let wish = null; // settings that wait for the server
let deciding = false;

function setKnob(name, value) {
  wish = { ...target().settings, ...(wish || {}), [name]: value };
  if (!deciding) decide();
}

async function decide() {
  deciding = true;
  while (wish !== null) {
    const [settings, who] = [wish, target()];
    wish = null;
    const late = new Promise((give) => setTimeout(give, 4000, null)); // an answer that was lost must not block
    const reply = await Promise.race([question("act", { do: "what_if", settings }), late]);
    if (reply && who === target()) takeDecision(reply);
  }
  deciding = false;
}

ask.reset = () => {
  wish = null;
  question("act", { do: "what_if", settings: null }).then((reply) => reply && takeDecision(reply));
};

function takeDecision(reply) {
  const who = target();
  if (!who.what_if) who.before = { source: who.source, state: who.state };
  Object.assign(who, reply.columns, { settings: reply.settings, what_if: reply.what_if, changed: reply.changed, notes: reply.notes, stale: true });
  if (!who.what_if) who.before = null;
  describeKnobs();
  listFiles();
  drawStrip();
  paint();
  describe();
}

function changedAt(place) {
  const { before, rows } = target();
  const row = rows[place];
  return Boolean(before) && row >= 0 && before.source[row] !== target().source[row];
}

for (const knob of KNOBS) {
  const field = make(knob.choices ? "fieldset" : "label", "", { class: knob.choices ? "lt-choice" : "lt-knob", "data-knob": knob.name });
  if (knob.choices) {
    field.append(make("legend", knob.label));
    for (const [value, text] of Object.entries(knob.choices)) {
      const label = make("label");
      const radio = make("input", "", { type: "radio", name: "lt-knob-" + knob.name, value });
      radio.addEventListener("change", () => setKnob(knob.name, value));
      label.append(radio, make("span", text));
      field.append(label);
    }
  } else {
    const slider = make("input", "", { type: "range", min: knob.min || 0, max: knob.max, step: knob.step });
    const output = make("output");
    slider.addEventListener("input", () => {
      output.textContent = slider.value;
      setKnob(knob.name, Number(slider.value));
    });
    field.append(make("span", knob.label), slider, output);
  }
  find(".lt-knobs").append(field);
}

function describeKnobs() {
  const who = target();
  for (const knob of KNOBS) {
    const field = find(`[data-knob="${knob.name}"]`);
    const value = who.settings[knob.name];
    field.classList.toggle("lt-moved", value !== who.recorded[knob.name]);
    if (knob.choices) field.querySelectorAll("input").forEach((radio) => (radio.checked = radio.value === value));
    else if (document.activeElement !== field.querySelector("input") || wish === null) {
      field.querySelector("input").value = value;
      field.querySelector("output").textContent = value;
    }
  }
  const notes = (who.notes || []).join(" ");
  find(".lt-changed").textContent = (who.what_if ? "Other settings: " + who.changed + " frames of " + who.index.length + " change." : "As recorded.") + (notes ? " " + notes : "");
  find('[data-ask="reset"]').disabled = !who.what_if;
}
