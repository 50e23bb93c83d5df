// How far a run is that waits or computes: the server's progress, and its picture in the panels.
import { duration, framesText } from "./dom.js";
import { paintLive } from "./paint.js";

export function showProgress({ find, page, root, panels }, { stage, kind, frames, total, position, wait_s, fps, left_s, picture }) {
  const bar = find(".lt-bar");
  if (total) bar.value = Math.min(1, frames / total);
  else bar.removeAttribute("value");
  const what = stage === "following" ? page.kinds[kind] : page.stages[stage];
  const ahead = position ? ": number " + position + " in the line" : "";
  const count = frames ? ", " + (total ? frames + " of " + framesText(total) : framesText(frames)) : "…";
  const [said, counted] = find(".lt-stage").children;
  const text = what + (stage === "waiting" ? ahead : "");
  if (said.textContent !== text) said.textContent = text; // a screen reader says it anew whenever it is set
  counted.textContent = stage === "waiting" ? "…" : count;
  const figures = [];
  if (fps) figures.push(fps.toFixed(1) + " frames a second");
  if (wait_s !== null && wait_s !== undefined) figures.push("begins in about " + duration(wait_s));
  if (left_s !== null && left_s !== undefined) figures.push("about " + duration(left_s) + " left");
  find(".lt-figures").textContent = figures.join(" · ");
  if (!picture) return;
  const image = new Image();
  image.onload = () => {
    if (root.dataset.state === "running") paintLive(panels, image);
    root.dataset.painted = "yes";
    delete root.dataset.stale;
  };
  image.src = "data:image/jpeg;base64," + picture;
}
