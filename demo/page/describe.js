// Texts about a frame: beside the panels, below the strip, and in a tip for the frame under the mouse.
import { isNumber, isUsers, lastRead, NO_BREAK, percent } from "./dom.js";
import { verdictText } from "./verdicts.js";

function why(player, frame) {
  const value = (column) => player.value(column, frame);
  if (value("state") === null) return "not part of this run";
  const reason = player.page.reasons[value("reason")];
  const parts = isUsers(player, frame) ? [reason] : [value("source") ? value("source") + " chosen" : value("state"), reason];
  if (value("overlap") !== null) parts.push("overlap of the branches " + value("overlap").toFixed(2));
  return parts.join(" · ");
}

export function describer(player) {
  const { find } = player;
  const slider = find(".lt-range");
  const tip = find(".lt-tip");

  function describe() {
    const { frame, last } = player;
    if (!player.run || frame < 0) return;
    const fused = player.value("fused");
    const state = player.value("state");
    const read = lastRead(player);
    const otherFrame = read === null || read === frame ? "" : " on frame " + read;
    const language = percent(read === null ? null : player.value("language", read), "not asked") + otherFrame;
    const notes = { mask: language, rectangle: language, tracker: percent(player.value("tracker"), "not started") };
    notes.fused = isNumber(fused) ? percent(fused) : state === "tracking" ? "absent" : state || "";
    player.panels.forEach((panel) => (panel.querySelector(".lt-note").textContent = notes[panel.dataset.panel]));
    find(".lt-who").textContent = (isUsers(player) ? "you" : player.value("source")) || "";
    const text = "frame " + frame + " (0 to " + last + ") · " + player.run.time_s[frame].toFixed(2) + NO_BREAK + "s";
    find(".lt-clock").textContent = text;
    find(".lt-reason").textContent = why(player, frame);
    slider.value = player.here;
    slider.setAttribute("aria-valuetext", text + ", " + why(player, frame));
    find(".lt-head").style.left = ((frame + 0.5) / (last + 1)) * 100 + "%";
  }

  // The share of the strip's width at the mouse; the native slider leaves out half its thumb on both sides.
  function shareAt(event) {
    const bounds = slider.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - bounds.left) / bounds.width));
  }
  const frameAt = (share) => Math.min(player.last, Math.floor(share * (player.last + 1)));
  const jump = (event) => player.seek(frameAt(shareAt(event)));

  function showTip(event) {
    const share = shareAt(event);
    const frame = frameAt(share);
    const confidences = ["language", "tracker"].map((branch) => branch + " " + percent(player.value(branch, frame), "–")).join(", ");
    tip.textContent = "Frame " + frame + " · " + confidences + " · " + why(player, frame) + verdictText(player.target.verdicts.frames[frame]);
    const width = slider.clientWidth;
    tip.style.left = Math.max(0, Math.min(width - tip.offsetWidth, share * width - tip.offsetWidth / 2)) + "px";
    tip.classList.add("lt-on");
  }

  player.on("frame track", describe);
  player.on("run", () => {
    if (player.run) slider.max = player.last;
    else find(".lt-who").textContent = "";
  });
  player.on("range", () => {
    const { from, to } = player.range;
    find(".lt-loop-text").textContent = from === null ? "whole clip" : "frames " + from + " to " + to;
    player.root.classList.toggle("lt-has-loop", from !== null);
  });
  slider.addEventListener("pointermove", (event) => {
    if (!player.run) return;
    if (event.pointerType !== "touch") showTip(event);
    if (slider.hasPointerCapture(event.pointerId)) jump(event);
  });
  slider.addEventListener("pointerleave", () => tip.classList.remove("lt-on"));
  slider.addEventListener("pointerdown", (event) => {
    if (!player.run || event.button > 0) return;
    event.preventDefault();
    slider.focus({ preventScroll: true });
    slider.setPointerCapture(event.pointerId);
    jump(event);
  });
  slider.addEventListener("input", () => player.seek(Number(slider.value)));
}
