// Elements and texts.
export function make(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  return node;
}

// A page as narrow as a phone's, as in style.css: list and player share its first screen.
export const NARROW = "(max-width: 640px)";

// A window so low that the player takes all of it, as in style.css.
export const LOW = "(max-height: 840px)";

// Between a number and its unit; `unbroken` in page_events.py puts it into the server's sentences.
export const NO_BREAK = "\u00a0";

export const isNumber = (value) => typeof value === "number";

export const framesText = (count) => (count === 1 ? "1 frame" : count + " frames");

// A confidence; `silent` is the text for a branch that did not run.
export const percent = (value, silent) => (isNumber(value) ? Math.round(value * 100) + NO_BREAK + "%" : value === null ? silent : "absent");

// Whether a person drew the box of a frame.
export const isUsers = (player, frame = player.frame, target = player.target) => player.value("reason", frame, target) === "user_box";

// Most frames from one on which the words are read to the next. A run of the command line may have more than the page
// offers.
export const longestStride = (player, target = player.target) => Math.max(player.page.settings.find(({ name }) => name === "every").high, target.recorded.every);

// The frame on which the words were last read, up to the one that is shown; null when that is too long ago. With the
// words on every k-th frame the mask of that frame is held.
export function lastRead(player, frame = player.frame, target = player.target) {
  if (player.value("state", frame, target) === null) return null;
  const longest = longestStride(player, target);
  for (let back = 0; back < longest; back++) if (player.value("language", frame - back, target) !== null) return frame - back;
  return null;
}

export const titleOf = (target) => (target.expression ? "“" + target.expression + "”" : "the object in your box");

export const fileSize = (bytes) => (bytes < 1e6 ? Math.max(1, Math.round(bytes / 1e3)) + NO_BREAK + "kB" : (bytes / 1e6).toFixed(1) + NO_BREAK + "MB");

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? whole + NO_BREAK + "s" : Math.floor(whole / 60) + NO_BREAK + "min " + (whole % 60) + NO_BREAK + "s";
}

// Has the browser save a file of the server.
export function save(file) {
  const anchor = make("a", "", { href: file.file.url, download: file.save_as });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
}

// Draws again when the element has another size, or the page has changed between light and dark.
export function onRedraw(element, draw) {
  const sizes = new ResizeObserver(redraw);
  const themes = new MutationObserver(redraw);
  function redraw() {
    if (element.isConnected) return draw();
    sizes.disconnect();
    themes.disconnect();
  }
  sizes.observe(element);
  themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
}
