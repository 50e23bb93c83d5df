// A map of 0 to 255 as a coloured layer, twice as fine as the map.

// Colours of a heat map for the values 0 to 255, from black over violet, red and yellow to white: a higher value is
// brighter, so that it can be read without colour vision too.
export const HEAT = (() => {
  const stops = [[10, 8, 30], [76, 18, 110], [190, 48, 84], [246, 140, 30], [252, 240, 170]];
  return Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    return stops[low].map((from, k) => Math.round(from + (stops[low + 1][k] - from) * (at - low)));
  });
})();

const layer = document.createElement("canvas");
let fine = new Uint8Array(0);

// Bilinear. Pixel centres, as in the video: the map's corners are the picture's.
function refine(map, width, height) {
  if (fine.length !== 4 * width * height) fine = new Uint8Array(4 * width * height);
  for (let y = 0; y < 2 * height; y++) {
    const near = y >> 1;
    const far = Math.max(0, Math.min(height - 1, near + (y & 1 ? 1 : -1)));
    const [a, b, out] = [near * width, far * width, y * 2 * width];
    for (let x = 0; x < width; x++) {
      const here = 3 * map[a + x] + map[b + x];
      const left = x ? 3 * map[a + x - 1] + map[b + x - 1] : here;
      const right = x < width - 1 ? 3 * map[a + x + 1] + map[b + x + 1] : here;
      fine[out + 2 * x] = (3 * here + left) >> 4;
      fine[out + 2 * x + 1] = (3 * here + right) >> 4;
    }
  }
  return fine;
}

// Draws the map over a whole canvas. `rgba` gives [r, g, b, alpha] of a value; a rim of that colour, unless it is
// null, runs where values above the threshold meet others.
export function drawMap(context, map, width, height, threshold, rgba, rim) {
  const values = refine(map, width, height);
  const [w, h] = [2 * width, 2 * height];
  if (layer.width !== w || layer.height !== h) [layer.width, layer.height] = [w, h];
  const layerContext = layer.getContext("2d");
  const picture = layerContext.createImageData(w, h);
  const pixels = new Uint32Array(picture.data.buffer);
  const pack = ([r, g, b, a]) => ((Math.round(a * 255) << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const inks = new Uint32Array(256);
  for (let value = 0; value < 256; value++) inks[value] = pack(rgba(value));
  for (let k = 0; k < pixels.length; k++) pixels[k] = inks[values[k]];
  if (rim) {
    const ink = pack(rim);
    for (let y = 1; y < h - 1; y++)
      for (let k = y * w + 1; k < (y + 1) * w - 1; k++)
        if (values[k] > threshold && (values[k - 1] <= threshold || values[k + 1] <= threshold || values[k - w] <= threshold || values[k + w] <= threshold)) pixels[k] = ink;
  }
  layerContext.putImageData(picture, 0, 0);
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
}
