// The runs of before: those of this page, and work that waits on the server since its page was closed.
import { framesText, make } from "./dom.js";

const NAME = "langtrack-pages"; // of the list in the browser's storage: {token, time, clip, judged}
const MAX_PAGES = 20; // in that list

function pages() {
  try {
    return JSON.parse(localStorage.getItem(NAME)) || [];
  } catch {
    return [];
  }
}

function keepPages(list) {
  try {
    localStorage.setItem(NAME, JSON.stringify(list.slice(0, MAX_PAGES)));
  } catch {
    // a private window: its work ends with it
  }
}

// Notes the work of a page, which may wait on the server; `work` is that of `Session.work`, in all runs of the page.
export function notePage(token, work) {
  if (!token || work === undefined) return; // nothing was said of it
  const others = pages().filter((page) => page.token !== token);
  keepPages(work ? [{ token, time: Date.now(), ...work }, ...others] : others);
}

const judgedText = (judged) => (judged ? " · " + judged + " judged" : "");

export function shelf(player, server) {
  const place = player.find(".lt-shelf:not(.lt-many)");

  function button(text, ask) {
    const item = make("li");
    const open = make("button", text, { type: "button", class: "lt-button" });
    open.addEventListener("click", ask);
    item.append(open);
    return item;
  }

  function entry({ key, clip, targets, frames, judged }) {
    const words = targets.map((text) => (text ? "“" + text + "”" : "a box")).join(", ");
    return button(clip + " · " + words + " · " + framesText(frames) + judgedText(judged), () => server.question("show", { do: "take_up", run: key }));
  }

  function waitingEntry({ token, time, clip, judged }) {
    const date = new Date(time).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    return button("Left on " + date + ": " + clip + judgedText(judged), async () => {
      if (await server.question("act", { do: "resume", token })) return;
      keepPages(pages().filter((page) => page.token !== token));
      list({});
    });
  }

  // `value` is that of the player. Work of other pages is offered before the first run alone.
  function list(value) {
    const left = value.state === "empty" && !value.shelf ? pages() : [];
    const entries = [...(value.shelf || []).map(entry), ...left.map(waitingEntry)];
    place.hidden = entries.length === 0;
    place.querySelector("summary").textContent = left.length ? "Your work of before" : "Earlier runs (" + entries.length + ")";
    if (left.length) place.open = true;
    place.querySelector("ul").replaceChildren(...entries);
  }

  return { list };
}
