// What stands for the page where its modules are tested with node alone: elements that hold what is put into them,
// the player as it is, and a server whose answers come when the test says so.
import { Player } from "../../demo/page/player.js";

class Element {
  children = [];
  dataset = {};
  listeners = {};
  parts = {};
  style = { setProperty() {} };
  classList = { toggle() {} };
  textContent = "";
  value = "";
  clientWidth = 0; // hidden: nothing is drawn
  append = (...parts) => this.children.push(...parts);
  replaceChildren = (...parts) => (this.children = parts);
  addEventListener = (name, listener) => (this.listeners[name] = listener);
  setAttribute = () => {};
  setPointerCapture = () => {};
  getBoundingClientRect = () => ({ left: 0, top: 0, bottom: 0, width: 100, height: 100 });
  pause = () => {};
  focus = () => {};
  getAttribute = () => "";
  requestVideoFrameCallback = (present) => (this.present = present);
  querySelector = (selector) => (this.parts[selector] ||= new Element());
  querySelectorAll = () => [];
  get parentElement() {
    return this.querySelector("parent");
  }
  // All text in it, parts of a line joined by blanks.
  get text() {
    return [this.textContent, ...this.children.map((child) => child.text)].filter(Boolean).join(" ");
  }
}

globalThis.window = { innerHeight: 900, devicePixelRatio: 1 };
export const element = () => new Element();

globalThis.Image = Element;
globalThis.document = { createElement: element, body: element(), activeElement: null, querySelector: () => null };
globalThis.document.addEventListener = (name, listener) => (globalThis.document[name] = listener);
globalThis.ResizeObserver = globalThis.MutationObserver = class {
  observe() {}
};

// A target whose track has the frames `first` to `last` of a clip of `frames`.
export function target(id, first, last, frames) {
  const rows = Array.from({ length: frames }, (_, frame) => (frame < first || frame > last ? -1 : frame - first));
  const source = rows.filter((row) => row >= 0).map(() => "language");
  return { id, expression: "car " + id, ink: [0, 0, 0], rows, source, index: [], outcome: id + "-found", settings: {}, recorded: { every: 1 }, verdicts: { frames: {} } };
}

export function page(targets, settings = []) {
  const player = new Player(new Element(), { settings });
  player.run = { key: "run", targets, exports: [], bundle: null };
  player.frame = 0;
  const asked = []; // {event, content, answer}: `answer` takes the reply
  const uploads = {};
  const server = {
    question: (event, content) => new Promise((resolve) => asked.push({ event, content: { target: player.target.id, ...content }, answer: resolve })),
    onUpload: (name, take) => (uploads[name] = take),
  };
  const click = (name) => player.find(`[data-ask="${name}"]`).listeners.click();
  return { player, server, asked, uploads, click, find: player.find };
}

// Until everything has gone on that an answer sets going.
export const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
