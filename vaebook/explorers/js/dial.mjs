// Collapse dial: turn sigma (or beta) and see what the stored runs keep of their latents.

import {
  captioned,
  chart,
  eachFrame,
  few,
  follow,
  make,
  mount,
  number,
  paintOn,
  readImages,
  slider,
  terms,
} from "./interface.mjs";
import { inflated } from "./network.mjs";
import { stateOf, tools } from "./tools.mjs";

const CAPTIONS = {
  spectrum: "variance of the data along each principal component; those above the line pay for a latent",
  kl: "KL of each latent in nats, largest first",
  pictures: "test images, their reconstructions, and samples from the prior",
};

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const run = () => spec.runs[model.get("index")];
    const dial = makeDial(model, spec);
    const found = terms(["directions in use", "above the line", "KL", "squared error"]);
    const spectrum = makeSpectrum(card, spec, run);
    const bars = makeBars(card, spec, run);
    const [originals, stored] = [await inflated(model.get("originals")), await inflated(model.get("pictures"))];
    const sheet = makeSheet(spec, readImages(originals, spec.shape), readImages(stored, spec.shape));
    const redraw = eachFrame(card, () => {
      const { directions, kl, error, threshold, value } = run();
      const above = threshold === null ? "–" : spec.eigenvalues.filter((variance) => variance > threshold).length;
      const texts = [`${directions} of ${kl.length}`, `${above}`, `${number(sum(kl), 1)} nats`, number(error, 2)];
      found.show(texts);
      dial.set(model.get("index"));
      spectrum.redraw();
      spectrum.describe(describe(spec.eigenvalues, above, threshold, spec.threshold));
      bars.redraw();
      bars.describe(few([...kl].sort((a, b) => b - a).map((nats) => nats.toFixed(2))));
      sheet.paint(model.get("index"));
      sheet.canvas.setAttribute("aria-label", `${CAPTIONS.pictures}, at ${spec.dial} = ${value}`);
      card.say(`${spec.dial} ${value}: ${texts[0]} directions in use, KL ${texts[2]}, squared error ${texts[3]}`);
    });
    follow(card, model, "index", redraw);
    const charts = make("div", { class: "vae-side" }, captioned(spectrum.canvas, CAPTIONS.spectrum));
    charts.append(captioned(bars.canvas, CAPTIONS.kl));
    const pictures = make("div", { class: "vae-side" }, captioned(sheet.canvas, CAPTIONS.pictures));
    const state = stateOf(model, "index", spec.runs.length - 1);
    const take = tools(card, model, { state, canvas: () => sheet.canvas });
    card.body.append(make("div", { class: "vae-wide vae-top" }, dial.row, found.row), charts, pictures);
    card.body.append(make("div", { class: "vae-wide" }, take));
    redraw();
  });
}

/** The spectrum in words: its ends, and how much of it is above the line. */
export function describe(values, above, threshold, name) {
  const range = `from ${values[0].toPrecision(2)} down to ${values.at(-1).toPrecision(2)}`;
  return threshold === null
    ? range
    : `${range}; ${above} of ${values.length} above ${name} = ${threshold.toPrecision(2)}`;
}

const sum = (values) => values.reduce((a, b) => a + b, 0);

function makeDial(model, spec) {
  const act = (index) => {
    model.set("index", index);
    model.save_changes();
  };
  const text = (index) => `${spec.runs[index].value}`;
  return slider({ label: spec.dial, min: 0, max: spec.runs.length - 1, step: 1, value: model.get("index"), act, text });
}

/** Eigenvalues on a logarithmic axis: each above the line pays for its latent. */
function makeSpectrum(card, spec, run) {
  const thresholds = spec.runs.map(({ threshold }) => threshold).filter((threshold) => threshold);
  const shown = [...spec.eigenvalues, ...thresholds];
  const [low, high] = [Math.log10(Math.min(...shown) / 1.6), Math.log10(Math.max(...shown) * 1.6)];
  return chart(card, {
    label: CAPTIONS.spectrum,
    ratio: 0.55,
    paint: (context, width, height, colours) => {
      const { threshold } = run();
      const y = (value) => 8 + (height - 24) * (1 - (Math.log10(value) - low) / (high - low));
      const step = (width - 44) / spec.eigenvalues.length;
      context.fillStyle = colours.soft;
      context.strokeStyle = colours.line;
      context.lineWidth = 1;
      for (let power = Math.ceil(low); power <= Math.floor(high); power++) {
        line(context, 40, y(10 ** power), width, y(10 ** power));
        context.fillText(`${Number((10 ** power).toPrecision(1))}`, 4, y(10 ** power) + 4);
      }
      for (const [i, value] of spec.eigenvalues.entries()) {
        context.fillStyle = threshold === null || value > threshold ? colours.accent : colours.soft;
        context.beginPath();
        context.arc(42 + step * (i + 0.5), y(value), Math.min(4, step / 2), 0, 2 * Math.PI);
        context.fill();
      }
      context.fillStyle = colours.soft;
      context.fillText("principal component", 42, height - 4);
      if (threshold === null) return;
      context.strokeStyle = context.fillStyle = colours.second;
      context.lineWidth = 2;
      line(context, 40, y(threshold), width, y(threshold));
      context.textAlign = "right";
      context.fillText(spec.threshold, width - 4, y(threshold) - 6);
      context.textAlign = "left";
    },
  });
}

export function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

/** The KL of each latent, the largest first, on the same axis for all runs. */
function makeBars(card, spec, run) {
  const largest = Math.max(...spec.runs.flatMap(({ kl }) => kl));
  const marks = ticks(largest);
  return chart(card, {
    label: CAPTIONS.kl,
    ratio: 0.4,
    paint: (context, width, height, colours) => {
      const { kl } = run();
      const sorted = [...kl].sort((a, b) => b - a);
      const y = (value) => height - 6 - ((height - 18) * value) / largest;
      const step = (width - 44) / kl.length;
      context.fillStyle = colours.soft;
      context.strokeStyle = colours.line;
      for (const value of marks) {
        line(context, 40, y(value), width, y(value));
        context.fillText(`${value}`, 4, y(value) + 4);
      }
      for (const [i, value] of sorted.entries()) {
        context.fillStyle = colours.accent;
        context.fillRect(42 + step * (i + 0.15), y(value), step * 0.7, Math.max(1, y(0) - y(value)));
      }
    },
  });
}

/** Round numbers from 0 up to `largest`, three or so. */
export function ticks(largest) {
  const power = 10 ** Math.floor(Math.log10(largest / 3 || 1));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => 3 * size >= largest) ?? 1;
  return Array.from({ length: Math.floor(largest / step) + 1 }, (_, i) => Number((i * step).toPrecision(3)));
}

/** One canvas for all pictures: a row of data, the row of their reconstructions, and below them samples. */
export function makeSheet(spec, originals, stored) {
  const [height, width] = spec.shape;
  const { columns, rows } = spec.sheet;
  const gap = 1;
  const canvas = make("canvas", {
    width: columns * (width + gap) - gap,
    height: rows * (height + gap) - gap + 3,
    role: "img",
    class: "vae-sheet",
  });
  const context = canvas.getContext("2d");
  const each = (rows - 1) * columns;
  const put = (pixels, place) => {
    const row = Math.floor(place / columns);
    const y = row * (height + gap) + (row > 1 ? 3 : 0);
    paintOn(context, pixels, spec.shape, (place % columns) * (width + gap), y);
  };
  const paint = (index) => {
    const pictures = [...originals, ...stored.slice(index * each, (index + 1) * each)];
    for (const [place, pixels] of pictures.entries()) put(pixels, place);
  };
  return { canvas, paint };
}
