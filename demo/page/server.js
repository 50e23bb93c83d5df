// Questions to the server: each is one event with a number; the answer comes back in `props.reply` with the same
// number.
export function connect(player, { props, trigger, upload, watch }) {
  const pending = new Map();
  let count = 0;

  // Resolves with the answer; an answer with an error is shown and resolves with null.
  function question(event, content) {
    if (event === "work" || event === "show") player.notify(""); // what was said before is of the tracks of before
    count += 1;
    trigger(event, { n: count, token: props.value?.token, run: player.run?.key, target: player.run && player.target.id, ...content });
    return new Promise((resolve) => pending.set(count, resolve));
  }

  watch("reply", () => {
    const reply = props.reply;
    if (!reply || !pending.has(reply.n)) return;
    const resolve = pending.get(reply.n);
    pending.delete(reply.n); // one that was asked earlier may still come: a download is not lost to a quicker question
    if (reply.error) player.notify(reply.error);
    resolve(reply.error ? null : reply);
  });

  // Resolves with the paths of the files on the server, or null.
  async function send(files) {
    player.notify("Sending " + (files.length === 1 ? files[0].name : files.length + " files") + "…", "tip");
    try {
      const paths = [];
      for (const file of files) paths.push((await upload(file)).path);
      player.notify("");
      return paths;
    } catch {
      player.notify("The file did not reach the server; it may be too large.");
      return null;
    }
  }

  // Sends files about the run that is shown, and hands their paths on; not when another run is shown by then.
  async function sendFor(files, take) {
    const key = player.run?.key;
    const paths = key && files.length ? await send(files) : null;
    if (paths && player.run?.key === key) take(paths);
  }

  // Has a file input send what was chosen.
  function onUpload(name, take) {
    const input = player.find(`[data-upload="${name}"]`);
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      sendFor(files, take);
    });
  }

  return { question, send, sendFor, onUpload };
}
