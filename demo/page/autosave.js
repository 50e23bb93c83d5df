// Verdicts on their way to the server, in order and a batch at a time; this browser keeps a copy as the last resort.
import { make } from "./dom.js";

const WAIT_MS = 5000; // for an answer; then the batch is sent again
const MAX_BATCH = 1000; // changes in one question
const MAX_COPIES = 60; // targets of which the browser keeps verdicts
const PREFIX = "langtrack-verdicts:"; // of the copies' names in the browser's storage
const UNSENT = "!"; // before the verdicts of a copy that the server has not confirmed

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// One change for frames in a row that have the same verdict, note and run.
export function groupsOf(frames) {
  const groups = [];
  for (const frame of Object.keys(frames).map(Number).sort((a, b) => a - b)) {
    const { verdict, note, run, stale } = frames[frame];
    const group = groups.at(-1);
    if (group && group.last === frame - 1 && group.verdict === verdict && group.note === note && group.run === run && group.stale === stale) group.last = frame;
    else groups.push({ first: frame, last: frame, verdict, note, run, stale });
  }
  return groups;
}

export function autosave(player, server) {
  const { find } = player;
  let waiting = []; // changes with their target, the oldest first
  let sending = false;
  let copied = true; // whether the browser's storage has all verdicts

  const show = (text) => (find(".lt-saved").textContent = text);

  // --- the server -----------------------------------------------------------------------------------------

  async function send() {
    if (sending) return;
    sending = true;
    let refused = false;
    show("Saving…");
    while (waiting.length) {
      const { target, run } = waiting[0];
      const others = waiting.findIndex((entry) => entry.target !== target);
      const batch = waiting.slice(0, Math.min(MAX_BATCH, others < 0 ? waiting.length : others));
      const question = server.question("act", { do: "verdicts", run: run.key, target: target.id, changes: batch.map((entry) => entry.change) });
      const reply = await Promise.race([question, pause(WAIT_MS).then(() => undefined)]);
      if (reply === undefined) {
        show(copied ? "No answer from the server; the verdicts are kept in this browser." : "Not saved: the server does not answer.");
        continue;
      }
      refused ||= !reply;
      waiting = waiting.slice(batch.length); // one that was refused would be refused again
      if (!reply || waiting.some((entry) => entry.target === target)) continue;
      target.verdicts = reply.verdicts;
      copy(target, run, "");
      if (player.run && player.target === target) player.emit("track");
    }
    sending = false;
    show(refused ? "Not saved" : "Saved");
  }

  function change(target, changes) {
    waiting.push(...changes.map((one) => ({ target, run: player.run, change: one })));
    copy(target, player.run, UNSENT);
    send();
  }

  // --- this browser's storage -----------------------------------------------------------------------------

  // Several targets of a clip may have the same words, or none: the box and the frame that each began with tell them apart.
  function nameOf(target, run = player.run) {
    const { start, box_xyxy: box } = target.edits[0];
    return PREFIX + run.clip.sha256 + ":" + (target.expression || "box") + (start || box ? ":" + start + ":" + (box || "") : "");
  }

  function copies() {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    return names.sort((a, b) => localStorage.getItem(a).localeCompare(localStorage.getItem(b))); // they begin with a time
  }

  function copy(target, run, state) {
    const name = nameOf(target, run);
    const frames = target.verdicts.frames;
    try {
      if (Object.keys(frames).length === 0) return localStorage.removeItem(name);
      const text = new Date().toISOString() + state + JSON.stringify(groupsOf(frames));
      const old = copies().filter((one) => one !== name);
      while (old.length >= MAX_COPIES) localStorage.removeItem(old.shift());
      for (;;) {
        try {
          localStorage.setItem(name, text);
          copied = true;
          return;
        } catch (error) {
          if (!old.length) throw error;
          localStorage.removeItem(old.shift());
        }
      }
    } catch {
      copied = false; // private windows and full discs
    }
  }

  // Changes that bring back what the browser has for a target without verdicts, or has not got to the server.
  function copyOf(target) {
    try {
      const text = localStorage.getItem(nameOf(target)) || "";
      const now = target.verdicts.frames;
      if (!text || (Object.keys(now).length && !text.includes(UNSENT + "["))) return [];
      const kept = {};
      for (const { first, last, verdict, note, run } of JSON.parse(text.slice(text.indexOf("["))))
        for (let frame = first; frame <= last; frame++)
          if (target.rows[frame] >= 0 && (now[frame]?.verdict !== verdict || now[frame].note !== note)) kept[frame] = { verdict, note, run };
      return groupsOf(kept);
    } catch {
      return [];
    }
  }

  function offer() {
    const { target } = player;
    const line = find(".lt-restore");
    const changes = copyOf(target);
    line.hidden = changes.length === 0;
    if (line.hidden) return;
    const frames = changes.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    const bring = make("button", "Bring them back", { type: "button", class: "lt-button" });
    const forget = make("button", "Forget them", { type: "button", class: "lt-button" });
    bring.addEventListener("click", () => {
      for (const { first, last, verdict, note, run } of changes)
        for (let frame = first; frame <= last; frame++) target.verdicts.frames[frame] = { verdict, note, run, stale: false };
      line.hidden = true;
      change(target, changes);
      player.emit("track");
    });
    forget.addEventListener("click", () => {
      localStorage.removeItem(nameOf(target));
      line.hidden = true;
    });
    line.replaceChildren(make("span", "This browser has earlier verdicts on " + frames + (frames === 1 ? " frame" : " frames") + " of this clip, with these words."), bring, forget);
  }

  player.on("target", offer);
  window.addEventListener("beforeunload", (event) => {
    if (!player.root.isConnected) return;
    player.emit("leave");
    if (waiting.length && !copied) event.preventDefault(); // only what would be lost is worth a question
  });

  return { change };
}
