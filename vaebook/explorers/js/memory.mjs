// Memorised or invented? The training image that a decoded picture is most like, and how far it is from it.

import { captioned, closest, make, number, picture } from "./interface.mjs";

/** The root of the mean squared difference of two images' pixels. */
export const distance = (a, b) => Math.sqrt(a.reduce((sum, pixel, i) => sum + (pixel - b[i]) ** 2, 0) / a.length);

/** The nearest of a few training images: show(pixels) finds it, and returns what it is in words. */
export function makeMemory(images, shape, { names, usual }, size) {
  const image = picture(shape, "Nearest of the stored training images", { size });
  const note = make("p", { class: "vae-note vae-distance" });
  const show = (pixels) => {
    const nearest = closest(pixels, images);
    const away = number(distance(pixels, images[nearest]));
    image.paint(images[nearest]);
    image.describe(`${names[nearest]}, ${away} away`);
    note.textContent = `${names[nearest]}: ${away} away. A test image: ${number(usual)} (median)`;
    return `${names[nearest]} is nearest, ${away} away`;
  };
  return {
    canvas: image.canvas,
    figure: captioned(image.canvas, `nearest of ${images.length} training images`),
    note,
    show,
  };
}

/**
 * Draws stored images at their places, those first that come first, none over another. Of dark images (digits) the ground
 * is left out and the ink has the colour of the class.
 */
export function makeCloud(images, [height, width, channels = 1]) {
  const dark =
    images.reduce((sum, image) => sum + image.reduce((a, b) => a + b, 0) / image.length, 0) < 0.35 * images.length;
  const one = make("canvas", { width, height });
  const context = one.getContext("2d");
  const tint = (image, colour) => {
    const pixels = context.createImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 * image[channels * i + (c % channels)];
      const ink = Math.max(...image.subarray(channels * i, channels * (i + 1)));
      pixels.data[4 * i + 3] = dark ? 255 * ink : 255;
    }
    context.putImageData(pixels, 0, 0);
    if (!dark) return;
    context.globalCompositeOperation = "source-in";
    context.fillStyle = colour;
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "source-over";
  };
  return (target, places, colours, side) => {
    const size = [(side * width) / Math.max(width, height), (side * height) / Math.max(width, height)];
    const taken = [];
    for (const [i, [x, y]] of places.entries()) {
      if (colours[i] === null) continue;
      if (taken.some(([a, b]) => Math.abs(a - x) < 0.85 * size[0] && Math.abs(b - y) < 0.85 * size[1])) continue;
      taken.push([x, y]);
      tint(images[i], colours[i]);
      target.drawImage(one, x - size[0] / 2, y - size[1] / 2, ...size);
    }
  };
}
