// From strokes of a pen to an image like the data's: as MNIST's were made, scaled to 20 of 28 pixels and centred by mass.

const SHARE = 20 / 28; // of the image's height, for the longer side of a drawing
const PEN = 1.15 / 28; // radius of the pen, as a share of the height
const SOFT = 1.2 / 28; // width of the pen's soft edge
const ENLARGE = 1.8; // no drawing is enlarged more than this: a dot stays a dot

/** Strokes, lists of [x, y] in units of the image's height, as values in [0, 1] of an image of that shape. */
export function rasterise(strokes, [height, width, channels = 1]) {
  if (!strokes.some((stroke) => stroke.length)) return new Float32Array(height * width * channels);
  const aspect = width / height;
  const centred = fitted(strokes, aspect);
  const { x, y } = centreOfMass(paint(centred, [height, width]), [height, width]);
  const grey = paint(moved(centred, aspect / 2 - x, 0.5 - y), [height, width]);
  return Float32Array.from({ length: channels * grey.length }, (_, i) => grey[Math.floor(i / channels)]);
}

const moved = (strokes, dx, dy) => strokes.map((stroke) => stroke.map(([x, y]) => [x + dx, y + dy]));

/** Scaled such that the longer side takes its share, with the bounding box in the middle. */
function fitted(strokes, aspect) {
  const points = strokes.flat();
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const longer = Math.max((right - left) / aspect, bottom - top) + 2 * PEN;
  const zoom = Math.min(SHARE / longer, ENLARGE);
  const [x0, y0] = [(left + right) / 2, (top + bottom) / 2];
  return strokes.map((stroke) => stroke.map(([x, y]) => [aspect / 2 + zoom * (x - x0), 0.5 + zoom * (y - y0)]));
}

/** The darkest touch counts: each pixel takes its distance to the nearest stroke. */
function paint(strokes, [height, width]) {
  const pixels = new Float32Array(height * width);
  const reach = PEN + SOFT;
  for (const stroke of strokes) {
    for (let k = 0; k < stroke.length; k++) {
      const [a, b] = [stroke[Math.max(0, k - 1)], stroke[k]];
      const first = (low) => Math.max(0, Math.floor(low * height));
      const [top, left] = [first(Math.min(a[1], b[1]) - reach), first(Math.min(a[0], b[0]) - reach)];
      const bottom = Math.min(height - 1, Math.ceil((Math.max(a[1], b[1]) + reach) * height));
      const right = Math.min(width - 1, Math.ceil((Math.max(a[0], b[0]) + reach) * height));
      for (let row = top; row <= bottom; row++) {
        for (let column = left; column <= right; column++) {
          const away = distance([(column + 0.5) / height, (row + 0.5) / height], a, b);
          const ink = Math.max(0, Math.min(1, (reach - away) / SOFT));
          pixels[row * width + column] = Math.max(pixels[row * width + column], ink);
        }
      }
    }
  }
  return pixels;
}

/** From a point to the nearest point of the segment from a to b. */
export function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const square = dx * dx + dy * dy;
  const t = square ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / square)) : 0;
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; // what an address leaves as it is

/** Strokes as text for an address: two letters a point, each a 63rd of the pad's width or height, a dot before each stroke. */
export function spelled(strokes, aspect) {
  const letter = (share) => LETTERS[Math.round(63 * Math.max(0, Math.min(1, share)))];
  const points = (stroke) => stroke.map(([x, y]) => letter(x / aspect) + letter(y));
  const kept = (stroke) => points(stroke).filter((point, i, all) => point !== all[i - 1]);
  return strokes.length ? strokes.map((stroke) => `.${kept(stroke).join("")}`).join("") : ".";
}

/** The strokes of such a text; null where it is none. */
export function respelled(text, aspect) {
  if (!/^(\.|(\.([\w-]{2})+)+)$/.test(text)) return null;
  const share = (letter) => LETTERS.indexOf(letter) / 63;
  const points = (part) => part.match(/../g).map(([x, y]) => [aspect * share(x), share(y)]);
  return text.slice(1).split(".").filter(Boolean).map(points);
}

/** In units of the image's height. */
export function centreOfMass(pixels, [height, width]) {
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < height * width; i++) {
    mass += pixels[i];
    x += pixels[i] * ((i % width) + 0.5);
    y += pixels[i] * (Math.floor(i / width) + 0.5);
  }
  return mass ? { x: x / mass / height, y: y / mass / height } : { x: width / height / 2, y: 0.5 };
}
