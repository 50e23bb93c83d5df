// Zoom and pan of pictures by the wheel, the mouse and buttons; several pictures move in step. The pictures stay
// canvases of their own size and are moved by CSS, so that a place on the screen is found from their bounds alone.

// Largest zoom: a pixel of a 640-pixel picture is then some 30 pixels on the screen.
const MAX_FACTOR = 24;
const STEP = 1.25; // of one notch of the wheel

// The event's place in pixels of a clip of `size`. Bars may be beside the picture (object-fit: contain).
export function pixelAt(event, canvas, size) {
  const bounds = canvas.getBoundingClientRect();
  const fit = Math.min(bounds.width / canvas.width, bounds.height / canvas.height);
  const [width, height] = [canvas.width * fit, canvas.height * fit];
  const x = (event.clientX - bounds.left - (bounds.width - width) / 2) / width;
  const y = (event.clientY - bounds.top - (bounds.height - height) / 2) / height;
  return [Math.max(0, Math.min(1, x)) * size[0], Math.max(0, Math.min(1, y)) * size[1]];
}

export class Zoom {
  factor = 1;
  #shift = [0, 0]; // of the picture's left upper corner, in its own widths and heights
  #canvases;
  #onChange;

  // `active` tells whether the wheel is for the picture now; otherwise it scrolls the page. `pans` tells whether a
  // drag that an event begins moves the picture.
  constructor(canvases, { active = () => true, pans = isPan, onChange }) {
    this.#canvases = canvases;
    this.#onChange = onChange;
    for (const canvas of canvases) this.#listen(canvas, active, pans);
  }

  // Zooms by a factor; the place (shares of the canvas) stays where it is.
  by(factor, place = [0.5, 0.5].map((at, k) => (at - this.#shift[k]) / this.factor)) {
    const next = Math.max(1, Math.min(MAX_FACTOR, this.factor * factor));
    this.#shift = this.#shift.map((shift, k) => shift + place[k] * (this.factor - next));
    this.factor = next;
    this.#apply();
  }

  fit() {
    this.by(1 / this.factor);
  }

  #apply() {
    this.#shift = this.#shift.map((shift) => Math.min(0, Math.max(1 - this.factor, shift)));
    const [x, y] = this.#shift.map((shift) => shift * 100 + "%");
    for (const { style } of this.#canvases) style.transform = this.factor === 1 ? "" : `translate(${x}, ${y}) scale(${this.factor})`;
    this.#onChange();
  }

  #listen(canvas, active, pans) {
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.deltaY || !(active() || event.ctrlKey) || (event.deltaY > 0 && this.factor === 1)) return;
        event.preventDefault();
        const bounds = canvas.getBoundingClientRect();
        this.by(event.deltaY < 0 ? STEP : 1 / STEP, [(event.clientX - bounds.left) / bounds.width, (event.clientY - bounds.top) / bounds.height]);
      },
      { passive: false },
    );
    let [from, moved] = [null, false];
    canvas.addEventListener("pointerdown", (event) => {
      moved = false;
      if (!pans(event) || this.factor === 1) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      from = [event.clientX, event.clientY];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const { width, height } = canvas.getBoundingClientRect();
      const to = [event.clientX, event.clientY];
      this.#shift = this.#shift.map((shift, k) => shift + ((to[k] - from[k]) / [width, height][k]) * this.factor);
      moved ||= from[0] !== to[0] || from[1] !== to[1];
      from = to;
      this.#apply();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (from = null));
    canvas.addEventListener("click", (event) => moved && event.stopPropagation()); // it was a drag
  }
}

export const isPan = (event) => event.button === 1 || (event.button === 0 && event.shiftKey);
