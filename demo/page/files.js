// The files of a target to download, and the saved run.
import { fileSize, make, save } from "./dom.js";

function link(anchor, file) {
  anchor.href = file.file.url;
  anchor.download = file.save_as;
  return anchor;
}

export function filesTool(player, server) {
  const { find } = player;

  function list() {
    const { downloads, stale } = player.target;
    const { bundle } = player.run;
    const all = find(".lt-bundle");
    all.hidden = !bundle;
    if (bundle) link(all, bundle).querySelector("span").textContent = "Download all (ZIP, " + fileSize(bundle.bytes) + ")";
    find('[data-ask="export"]').hidden = Boolean(bundle);
    find(".lt-stale").hidden = !(stale && downloads.length);
    find(".lt-list").replaceChildren(
      ...[...player.run.exports, ...downloads].map((file) => {
        const anchor = link(make("a"), file);
        anchor.append(make("b", file.name), make("i", fileSize(file.bytes)), make("span", file.note));
        const item = make("li");
        item.append(anchor);
        return item;
      }),
    );
  }

  const formats = find(".lt-formats");
  formats.append(...Object.entries(player.page.formats).map(([name, about]) => make("option", about, { value: name })));

  // What the target is called there: a person's word, or those that it was found by.
  const field = find('[data-field="class"]');
  let given = true; // or the promise of whether the server took it
  let shown = null; // the target whose class is in the field
  let refusal = ""; // what was said of a class that the server did not take

  function showClass() {
    shown = player.target;
    field.value = shown.class.name;
    field.placeholder = shown.class.words;
  }

  async function giveClass() {
    const { run, target } = player;
    const text = field.value;
    const reply = await server.question("act", { do: "class", name: text });
    refusal = reply ? "" : player.message;
    if (reply && reply.name !== target.class.name) {
      target.class.name = reply.name;
      run.exports = []; // which have the class of before
    }
    if (player.run === run) list();
    if (player.target === target && field.value === text) showClass(); // else somebody types on
    return Boolean(reply);
  }

  // A click on a button ends the typing; where the server refuses the class, that is all it does.
  async function taken() {
    const answer = await given;
    given = true;
    return answer;
  }

  field.addEventListener("input", () => refusal && player.message === refusal && player.notify(""));
  field.addEventListener("change", () => (given = giveClass()));
  player.on("target", () => (document.activeElement !== field || shown?.id !== player.target.id) && showClass());
  player.onAsk("format", async () => (await taken()) && server.question("work", { do: "format", format: formats.value }));

  player.on("track", list);
  player.onAsk("export", () => server.question("work", { do: "export" }));
  player.onAsk("save", async () => {
    if (!(await taken())) return;
    player.notify("Packing…", "tip");
    const reply = await server.question("act", { do: "save" });
    if (!reply) return;
    save(reply.download);
    if (reply.without_video) player.notify("Saved without its video: " + reply.without_video + ". The ZIP keeps the tracks and verdicts, but the page cannot show them.", "warning");
    else player.notify("Saved. “Open a saved run” brings it back, here or on another machine.", "good");
  });
}
