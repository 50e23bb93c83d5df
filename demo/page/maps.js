// The maps of 0 to 255 of one target: fetched and unpacked a chunk at a time, the newest few kept.
// Number of chunks of all targets together that stay in memory, 57 MB at the largest size of a map; the frame that
// is shown may need more.
const MAX_CHUNKS = 12;

// The unpacked chunks of all targets, by address and number: bytes, or the promise of them, in order of use.
export class ChunkCache {
  #chunks = new Map();
  #needed = new Set(); // chunks of the frame that is shown or waited for: they stay, whatever else is loaded

  need(keys) {
    this.#needed = new Set(keys);
  }

  // Whether the next chunk of every target has room beside the present one.
  get hasRoom() {
    return 2 * this.#needed.size <= MAX_CHUNKS;
  }

  // The bytes of a chunk that is loaded; otherwise undefined.
  bytes(key) {
    const chunk = this.#chunks.get(key);
    return chunk instanceof Uint8Array ? chunk : undefined;
  }

  async load(key, fetchChunk) {
    if (!this.#chunks.has(key)) this.#chunks.set(key, fetchChunk());
    const bytes = await this.#chunks.get(key);
    this.#chunks.delete(key);
    this.#chunks.set(key, bytes);
    for (const old of this.#chunks.keys()) {
      if (this.#chunks.size <= MAX_CHUNKS) return;
      if (old !== key && !this.#needed.has(old)) this.#chunks.delete(old);
    }
  }

  clear() {
    this.#chunks.clear();
    this.#needed.clear();
  }
}

export class Layers {
  constructor(url, map, cache, onFailure) {
    Object.assign(this, { url, ...map, cache, onFailure }); // map: width, height, chunk (frames), offsets, frames
    this.size = this.width * this.height;
  }

  // Of the chunk that has the run's frame k.
  key(k) {
    return this.url + "#" + Math.floor(k / this.chunk);
  }

  #outside(k) {
    return !(k >= 0 && k < this.frames);
  }

  ready(k) {
    return this.#outside(k) || this.cache.bytes(this.key(k)) !== undefined;
  }

  // "language" or "tracker" of the run's frame k; null where there is none.
  map(k, branch) {
    const bytes = this.#outside(k) ? undefined : this.cache.bytes(this.key(k));
    if (!bytes) return null;
    if (k % this.chunk === 0 && this.cache.hasRoom) this.load(k + this.chunk); // the next one, before it is needed
    const from = ((k % this.chunk) * 2 + (branch === "tracker" ? 1 : 0)) * this.size;
    return bytes.subarray(from, from + this.size);
  }

  async load(k) {
    if (!this.#outside(k)) await this.cache.load(this.key(k), () => this.#fetch(Math.floor(k / this.chunk)));
  }

  async #fetch(number) {
    const [begin, end] = [this.offsets[number], this.offsets[number + 1]];
    const frames = Math.min(this.chunk, this.frames - number * this.chunk);
    try {
      const answer = await fetch(this.url, { headers: { Range: `bytes=${begin}-${end - 1}` } });
      if (!answer.ok) throw new Error(answer.status);
      let chunk = await answer.arrayBuffer();
      if (answer.status !== 206) chunk = chunk.slice(begin, end); // a server without ranges sends all
      const plain = new Blob([chunk]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Uint8Array(await new Response(plain).arrayBuffer());
    } catch {
      this.onFailure();
      return new Uint8Array(frames * 2 * this.size);
    }
  }
}
