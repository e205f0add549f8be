// A picture of the reader's own, made like the data: cut to their shape about its middle, and light on dark where they are.

import { make } from "./interface.mjs";

/** Where a picture of `width` x `height` lies when it covers a canvas of `across` x `down`: [x, y, width, height]. */
export function covering([width, height], [across, down]) {
  const zoom = Math.max(across / width, down / height);
  return [(across - zoom * width) / 2, (down - zoom * height) / 2, zoom * width, zoom * height];
}

/** Pixels in [0, 1] from RGBA bytes, `channels` each; turned round where a light picture meets `dark` data. */
export function pixelsOf(bytes, channels, dark) {
  const count = bytes.length / 4;
  const grey = (i) => (0.299 * bytes[4 * i] + 0.587 * bytes[4 * i + 1] + 0.114 * bytes[4 * i + 2]) / 255; // as Pillow does
  const value = (i) => (channels === 1 ? grey(i) : bytes[4 * Math.floor(i / channels) + (i % channels)] / 255);
  const pixels = Float32Array.from({ length: channels * count }, (_, i) => value(i));
  const mean = pixels.reduce((a, b) => a + b, 0) / pixels.length;
  return dark && mean > 0.5 ? pixels.map((pixel) => 1 - pixel) : pixels;
}

/** The pixels of an image file; throws where it is none. */
async function readPicture(file, [height, width, channels = 1], dark) {
  const whole = await createImageBitmap(file);
  const [x, y, across, down] = covering([whole.width, whole.height], [width, height]);
  const size = { resizeWidth: Math.round(across), resizeHeight: Math.round(down), resizeQuality: "high" };
  const context = make("canvas", { width, height }).getContext("2d");
  context.drawImage(await createImageBitmap(whole, size), Math.round(x), Math.round(y));
  return pixelsOf(context.getImageData(0, 0, width, height).data, channels, dark);
}

/**
 * A button that asks for an image file; one may be dropped on `target`, too. Calls take(pixels), or refuse() where the
 * file is no image that this browser reads.
 */
export function ownPicture(target, shape, images, { take, refuse }) {
  const mean = (image) => image.reduce((a, b) => a + b, 0) / image.length;
  const dark = images.reduce((sum, image) => sum + mean(image), 0) < 0.35 * images.length;
  const read = async (file) => {
    try {
      take(await readPicture(file, shape, dark));
    } catch {
      refuse();
    }
  };
  const input = make("input", { type: "file", accept: "image/*", hidden: true });
  input.addEventListener("change", () => input.files.length && read(input.files[0]));
  target.addEventListener("dragover", (event) => event.preventDefault());
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) read(event.dataTransfer.files[0]);
  });
  return [
    make("button", { type: "button", class: "vae-link", onclick: () => input.click() }, "one of your own"),
    input,
  ];
}
