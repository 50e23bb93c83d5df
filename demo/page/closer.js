// A closer look at the frame at rest: zoom and pan of all four views in step, and the clip's own pixels where the
// small video of the player has fewer than the screen shows.
import { isPan, Zoom } from "./zoom.js";

// Milliseconds that a frame has to rest before its picture is asked for: while a person steps, none is.
const REST_MS = 250;

export function closerLook(player, server, { showStill }) {
  const { find, panels, root, video, draft } = player;
  const fit = find(".lt-fit");
  const canvases = panels.map((panel) => panel.querySelector("canvas"));
  const enlarged = () => root.classList.contains("lt-zoomed");
  const zoom = (player.zoom = new Zoom(canvases, {
    active: () => player.run !== null && (Boolean(draft.on) || enlarged() || zoom.factor > 1),
    pans: (event) => isPan(event) || (!draft.on && event.button === 0),
    onChange: () => {
      fit.hidden = zoom.factor === 1;
      fit.textContent = "Whole picture (now " + zoom.factor.toFixed(1) + "×)";
      player.emit("look");
    },
  }));

  let timer = 0;
  let stillFrame = -1; // the frame whose own pixels are shown
  let asking = false; // one question at a time: for each the server decodes the clip up to the frame

  // Whether the screen shows more pixels than the player's video has.
  function isCoarse() {
    const canvas = canvases.find((one) => one.offsetParent !== null);
    if (!player.run || !canvas || !(player.run.size[0] > video.videoWidth)) return false;
    return canvas.clientWidth * window.devicePixelRatio * zoom.factor > 1.2 * video.videoWidth;
  }

  async function ask() {
    const { frame, run } = player;
    if (asking || !isCoarse() || !video.paused || stillFrame === frame || root.dataset.state !== "done") return;
    asking = true;
    const reply = await server.question("act", { do: "still", frame });
    asking = false;
    if (player.run !== run || player.frame !== frame) return later();
    if (!reply) return;
    const image = new Image();
    image.onload = () => {
      if (player.run !== run || player.frame !== frame || !video.paused) return;
      stillFrame = frame;
      root.dataset.still = frame;
      showStill(image);
    };
    image.src = reply.still.url;
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(ask, REST_MS);
  }

  player.on("frame", () => {
    stillFrame = -1;
    delete root.dataset.still;
    later();
  });
  player.on("look", later);
  video.addEventListener("pause", later);
  player.on("run", () => player.run === null && zoom.fit());
  fit.addEventListener("click", () => zoom.fit());

  return { zoom };
}
