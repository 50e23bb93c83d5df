// The video field of the form. Browsers play fewer formats than the program reads: of the others the field says so
// (style.css), where Gradio would report an error; the picture beside it shows the clip's frames.
export function videoField() {
  const ofField = (video) => video instanceof HTMLVideoElement && video.closest("#video");
  const listen = (name, action) => document.addEventListener(name, (event) => ofField(event.target) && action(event), true);
  listen("error", (event) => {
    event.stopImmediatePropagation();
    event.target.dataset.unplayable = "yes";
  });
  listen("loadstart", ({ target }) => delete target.dataset.unplayable); // another clip
}
