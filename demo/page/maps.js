// The maps of 0 to 255 of one target: fetched and unpacked a chunk at a time, the newest few kept.
const CHUNKS_KEPT = 12; // of all targets together: 57 MB at the largest

const unpacked = new Map(); // url#chunk -> Uint8Array or the promise of one; the order is that of their use

class Layers {
  constructor(url, map) {
    Object.assign(this, { url, ...map }); // width, height, chunk (frames), offsets, frames
    this.size = this.width * this.height;
  }

  key(k) {
    return this.url + "#" + Math.floor(k / this.chunk);
  }

  outside(k) {
    return !(k >= 0 && k < this.frames);
  }

  ready(k) {
    return this.outside(k) || unpacked.get(this.key(k)) instanceof Uint8Array;
  }

  // "lgm" or "siam" of the run's frame k; null where there is none.
  map(k, branch) {
    if (this.outside(k)) return null;
    const bytes = unpacked.get(this.key(k));
    if (!(bytes instanceof Uint8Array)) return null;
    if (k % this.chunk === 0) this.load(k + this.chunk); // the next one, before it is needed
    const from = ((k % this.chunk) * 2 + (branch === "siam" ? 1 : 0)) * this.size;
    return bytes.subarray(from, from + this.size);
  }

  async load(k) {
    if (this.outside(k)) return;
    const key = this.key(k);
    if (!unpacked.has(key)) unpacked.set(key, this.fetch(Math.floor(k / this.chunk)));
    const bytes = await unpacked.get(key);
    unpacked.delete(key);
    unpacked.set(key, bytes);
    for (const old of unpacked.keys()) if (unpacked.size > CHUNKS_KEPT && old !== key) unpacked.delete(old);
  }

  async fetch(number) {
    const [begin, end] = [this.offsets[number], this.offsets[number + 1]];
    const frames = Math.min(this.chunk, this.frames - number * this.chunk);
    try {
      const answer = await fetch(this.url, { headers: { Range: `bytes=${begin}-${end - 1}` } });
      if (!answer.ok) throw new Error(answer.status);
      let packed = await answer.arrayBuffer();
      if (answer.status !== 206) packed = packed.slice(begin, end); // a server without ranges sends all
      const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Uint8Array(await new Response(plain).arrayBuffer());
    } catch (error) {
      complain("The masks of these frames could not be fetched; boxes and numbers are complete.");
      return new Uint8Array(frames * 2 * this.size);
    }
  }
}
