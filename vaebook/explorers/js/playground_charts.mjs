// What the playground shows. Each chart has its canvas, a caption, redraw(), and words() for those who do not see it.

import { chart, few, latentName, make, number, shown } from "./interface.mjs";
import { SAMPLES } from "./trainer.mjs";
import { linearKl, predicted, price, sum } from "./vae.mjs";

const LIMIT = 3.5; // half the width of the latent plane, in standard deviations of the prior
const [LEFT, TOP, FOOT] = [44, 12, 22]; // margins of a chart, pixels
const COMPONENTS = 16; // principal directions that the spectrum shows
const [LEAST, MOST] = [-2.5, 0.7]; // powers of ten at the ends of its axis
const PICTURES = 10; // in a row

/** All of them, in the order of the page. */
export function makeCharts(view) {
  return [makePlane, makeSpectrum, makeBars, makeRebuilt, makeSamples, makeBound, makeKl].map((made) => made(view));
}

// ------------------------------------------------------------------------------------------------ The latent plane

/** The posterior means of all images in two latents, and of one image of each class the whole posterior. */
function makePlane(view) {
  const { card, spec } = view;
  const paint = (context, size, _, colours) => {
    const { report, axes } = view;
    const scale = size / 2 / LIMIT;
    drawPrior(context, size, scale, colours);
    if (!report) return;
    const latents = report.kl.length;
    const place = (image) => {
      const [x, y = level(spec, image)] = axes.map((j) => report.means[latents * image + j]);
      return [size / 2 + scale * x, size / 2 - scale * y];
    };
    for (const [group, { colour }] of spec.groups.entries()) {
      context.fillStyle = shown(card, colour);
      context.globalAlpha = 0.55;
      context.beginPath();
      for (const [image, member] of spec.members.entries()) {
        if (member !== group) continue;
        const [x, y] = place(image);
        context.moveTo(x + 2.2, y);
        context.arc(x, y, 2.2, 0, 2 * Math.PI);
      }
      context.fill();
    }
    context.globalAlpha = 1;
    for (const image of spec.examples) {
      const { name, colour } = spec.groups[spec.members[image]];
      const [a, b = 3] = axes.map((j) => scale * Math.exp(report.logVars[latents * image + j] / 2));
      context.strokeStyle = shown(card, colour);
      context.lineWidth = 1.5;
      context.beginPath();
      context.ellipse(...place(image), a, b, 0, 0, 2 * Math.PI);
      context.stroke();
      if (spec.groups.length > 1) haloed(context, name, place(image), colours.plot, colours.ink);
    }
    const [across, up] = axes.map(latentName);
    haloed(context, across, [size - 14, size / 2 - 10], colours.plot, colours.soft);
    if (up) haloed(context, up, [size / 2 + 14, 12], colours.plot, colours.soft);
  };
  const words = () => {
    const { means, kl } = view.report;
    const spreads = view.axes.map((j) => `${latentName(j)} ${deviation(means, j, kl.length).toFixed(2)}`);
    return `standard deviation of the posterior means in ${spreads.join(", in ")}; that of the prior is 1`;
  };
  const caption = `Dots: posterior means of ${spec.members.length} images. Ellipses: whole posteriors (1σ). Dashed: the prior.`;
  return { ...chart(card, { label: "Latent plane", ratio: 1, paint }), words, caption };
}

/** With one latent the second axis is free, and keeps the classes apart. */
const level = ({ groups, members }, image) => ((members[image] + 0.5) / groups.length - 0.5) * 1.6 * LIMIT;

function drawPrior(context, size, scale, colours) {
  context.strokeStyle = colours.line;
  line(context, [0, size / 2], [size, size / 2]);
  line(context, [size / 2, 0], [size / 2, size]);
  context.strokeStyle = colours.soft;
  context.setLineDash([3, 4]);
  for (const sigmas of [1, 2, 3]) {
    context.beginPath();
    context.arc(size / 2, size / 2, sigmas * scale, 0, 2 * Math.PI);
    context.stroke();
  }
  context.setLineDash([]);
}

function haloed(context, text, [x, y], ground, ink) {
  const { font } = context;
  context.font = `bold ${font.replace("12px", "13px")}`;
  Object.assign(context, { textAlign: "center", textBaseline: "middle" });
  Object.assign(context, { strokeStyle: ground, fillStyle: ink, lineWidth: 3.5, lineJoin: "round" });
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
  Object.assign(context, { textAlign: "left", textBaseline: "alphabetic", lineWidth: 1, font });
}

function deviation(means, j, latents) {
  const values = Array.from(means).filter((_, at) => at % latents === j);
  const mean = sum(values) / values.length;
  return Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / values.length);
}

// ------------------------------------------------------------------------------------------------ Theory and use

/** Variances of the data along their principal directions, and the price βσ² that each must exceed. */
function makeSpectrum(view) {
  const values = view.spec.eigenvalues.slice(0, COMPONENTS);
  const paint = (context, width, height, colours) => {
    const { settings } = view;
    const y = frame(context, [width, height], colours, [LEAST, MOST], [-2, -1, 0], (power) => brief(10 ** power));
    const step = (width - LEFT) / values.length;
    const cost = Math.max(LEAST, Math.min(MOST, Math.log10(price(settings))));
    for (const [i, value] of values.entries()) {
      const pays = value > price(settings);
      context.fillStyle = context.strokeStyle = pays ? colours.accent : colours.soft;
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(LEFT + step * (i + 0.5), y(Math.max(LEAST, Math.log10(value))), 4, 0, 2 * Math.PI);
      if (pays && i < settings.latents) context.fill();
      else context.stroke();
    }
    context.strokeStyle = context.fillStyle = colours.second;
    context.lineWidth = 2;
    line(context, [LEFT, y(cost)], [width, y(cost)]);
    const name = [`βσ² = ${brief(price(settings))}`, width - 6, y(cost) + (y(cost) < 30 ? 16 : -7)];
    Object.assign(context, { textAlign: "right", strokeStyle: colours.plot, lineWidth: 3.5 });
    context.strokeText(...name);
    context.fillText(...name);
    under(context, [width, height], colours, "principal directions; a full dot has a latent");
  };
  const words = () => {
    const { settings } = view;
    const above = values.filter((value) => value > price(settings)).length;
    const kept = predicted(values, settings);
    return `${above} of ${values.length} are above ${brief(price(settings))}; ${settings.latents} latents can keep ${kept}`;
  };
  const caption = "Variance along each direction of the data. Above the line it pays for a latent.";
  return { ...chart(view.card, { label: "Spectrum of the data", ratio: 0.5, paint }), words, caption };
}

/** The KL of each latent, the largest first, and what it is in the best linear VAE. */
function makeBars(view) {
  const sorted = () => [...view.report.kl].sort((a, b) => b - a);
  const paint = (context, width, height, colours) => {
    if (!view.report) return;
    const theory = linearKl(view.spec.eigenvalues, view.settings);
    const most = Math.max(0.5, 1.1 * Math.max(...view.report.kl, ...theory));
    const y = frame(context, [width, height], colours, [0, most], rounds(0, most));
    const step = (width - LEFT) / theory.length;
    const half = Math.min(0.3 * step, 20);
    const centre = (i) => LEFT + step * (i + 0.5);
    context.fillStyle = colours.accent;
    for (const [i, value] of sorted().entries()) {
      context.fillRect(centre(i) - half, y(value), 2 * half, y(0) - y(value));
    }
    context.strokeStyle = colours.second;
    context.lineWidth = 2;
    for (const [i, value] of theory.entries()) {
      line(context, [centre(i) - 1.5 * half, y(value)], [centre(i) + 1.5 * half, y(value)]);
    }
    under(context, [width, height], colours, "latents, the most used first");
  };
  const words = () =>
    `${few(
      sorted().map((nats) => nats.toFixed(2)),
      8,
    )} nats`;
  const caption = legend("KL of each latent, nats. ", ["pg-second", "in the best linear VAE"]);
  return { ...chart(view.card, { label: "KL of each latent", ratio: 0.5, paint }), words, caption };
}

// ------------------------------------------------------------------------------------------------ Pictures

function makeRebuilt(view) {
  const { examples, shape } = view.spec;
  const size = shape[0] * shape[1];
  const originals = examples.map((image) => view.images.subarray(image * size, (image + 1) * size));
  const pictures = ({ pictures }) => [...originals, ...cut(pictures.subarray(0, size * examples.length), size)];
  const words = () => `error ${error(originals, pictures(view.report).slice(examples.length)).toFixed(2)} on average`;
  const caption = "Images, and below them what the decoder makes of their posterior means.";
  return { ...makeSheet(view, "Images and their reconstructions", pictures), words, caption };
}

function makeSamples(view) {
  const { examples, shape } = view.spec;
  const size = shape[0] * shape[1];
  const pictures = (report) => cut(report.pictures.subarray(size * examples.length), size);
  const words = () =>
    `${SAMPLES} pictures, which differ from each other by ${variety(pictures(view.report)).toFixed(2)}`;
  const caption = "Samples: the decoder's means for 20 z from the prior, always the same ones.";
  return { ...makeSheet(view, "Samples from the prior", pictures), words, caption };
}

/** Rows of small grey pictures. */
function makeSheet(view, label, pictures) {
  const [height, width] = view.spec.shape;
  const store = make("canvas", { width, height });
  const tile = store.getContext("2d");
  const image = tile.createImageData(width, height);
  const paint = (context, across) => {
    if (!view.report) return;
    context.imageSmoothingEnabled = false;
    const cell = (across + 3) / PICTURES - 3;
    for (const [k, pixels] of pictures(view.report).entries()) {
      for (let i = 0; i < pixels.length; i++)
        image.data.set([255 * pixels[i], 255 * pixels[i], 255 * pixels[i], 255], 4 * i);
      tile.putImageData(image, 0, 0);
      const [row, column] = [Math.floor(k / PICTURES), k % PICTURES];
      const [x, y] = [column * (cell + 3), row * ((cell * height) / width + 3)];
      context.drawImage(
        store,
        Math.round(x),
        Math.round(y),
        Math.round(x + cell) - Math.round(x),
        Math.round((cell * height) / width),
      );
    }
  };
  const ratio = (2.06 * height) / width / PICTURES;
  return chart(view.card, { label, ratio, paint, attributes: { class: "pg-sheet" } });
}

const cut = (numbers, size) =>
  Array.from({ length: numbers.length / size }, (_, i) => numbers.subarray(i * size, (i + 1) * size));

const distance = (a, b) => a.reduce((total, pixel, i) => total + (pixel - b[i]) ** 2, 0);

const error = (images, others) => sum(images.map((image, i) => distance(image, others[i]))) / images.length;

/** The mean squared distance of neighbours in the sheet: 0 if all are the same picture. */
const variety = (images) => error(images.slice(1), images.slice(0, -1));

// ------------------------------------------------------------------------------------------------ Curves

/** Reconstruction and ELBO: the gap between them is the KL. */
function makeBound(view) {
  const paint = (context, width, height, colours) => {
    const { history } = view;
    if (history.length < 2) return wait(context, [width, height], colours);
    const low = quantile(
      history.map(({ elbo }) => elbo),
      0.04,
    );
    const high = Math.max(...history.map(({ reconstruction }) => reconstruction));
    const room = 0.06 * Math.max(1, high - low);
    const y = frame(context, [width, height], colours, [low - room, high + room], rounds(low, high));
    const x = steps(context, [width, height], colours, view);
    const [upper, lower] = ["reconstruction", "elbo"].map((name) => history.map((at) => [x(at.step), y(at[name])]));
    context.save();
    context.rect(LEFT, 0, width, height - FOOT); // the first steps may lie far below
    context.clip();
    draw(context, upper, colours.accent);
    draw(context, lower, colours.second);
    context.fillStyle = colours.second;
    context.globalAlpha = 0.16;
    trace(context, [...upper, ...lower.reverse()]);
    context.fill();
    context.restore();
  };
  const words = () => {
    const { reconstruction, elbo } = view.history.at(-1);
    return `reconstruction ${number(reconstruction, 1)}, ELBO ${number(elbo, 1)} nats`;
  };
  const caption = legend(
    "",
    ["pg-accent", "reconstruction"],
    ["pg-second", "ELBO"],
    " The gap between them is the KL. Nats.",
  );
  return { ...chart(view.card, { label: "The bound", ratio: 0.5, paint }), words, caption };
}

function makeKl(view) {
  const paint = (context, width, height, colours) => {
    const { history } = view;
    if (history.length < 2) return wait(context, [width, height], colours);
    const theory = sum(linearKl(view.spec.eigenvalues, view.settings));
    const most = Math.max(1, 1.08 * Math.max(theory, ...history.map(({ kl }) => kl)));
    const y = frame(context, [width, height], colours, [0, most], rounds(0, most));
    const x = steps(context, [width, height], colours, view);
    context.setLineDash([5, 4]);
    draw(
      context,
      [
        [LEFT, y(theory)],
        [width, y(theory)],
      ],
      colours.second,
    );
    context.setLineDash([]);
    draw(
      context,
      history.map(({ step, kl }) => [x(step), y(kl)]),
      colours.accent,
    );
  };
  const words = () => `${view.history.at(-1).kl.toFixed(2)} nats now`;
  const caption = legend("KL of all latents, nats. ", ["pg-second pg-dashed", "the best linear VAE's"]);
  return { ...chart(view.card, { label: "KL", ratio: 0.5, paint }), words, caption };
}

/** The axis of steps, with a line where a setting was changed; returns where a step lies. */
function steps(context, [width, height], colours, { history, marks }) {
  const [first, last] = [history[0].step, history.at(-1).step];
  const x = (step) => LEFT + ((width - LEFT - 4) * (step - first)) / Math.max(1, last - first);
  let free = LEFT; // from here on there is room for words
  context.strokeStyle = colours.soft;
  context.fillStyle = colours.soft;
  context.setLineDash([1, 3]);
  for (const { step, text } of marks) {
    if (step < first) continue;
    line(context, [x(step), TOP], [x(step), height - FOOT]);
    const wide = context.measureText(text).width;
    const at = Math.min(x(step) + 3, width - wide - 2);
    if (at < free) continue;
    context.fillText(text, at, TOP + 4);
    free = at + wide + 4;
  }
  context.setLineDash([]);
  context.fillText(`step ${first.toLocaleString("en")}`, LEFT, height - 6);
  context.textAlign = "right";
  context.fillText(last.toLocaleString("en"), width - 4, height - 6);
  context.textAlign = "left";
  return x;
}

// ------------------------------------------------------------------------------------------------ Drawing

/** Horizontal lines with numbers at the values `at` of an axis from low to high; returns where a value lies. */
function frame(context, [width, height], colours, [low, high], at, text = brief) {
  const y = (value) => height - FOOT - ((height - FOOT - TOP) * (value - low)) / (high - low);
  context.strokeStyle = colours.line;
  context.fillStyle = colours.soft;
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const value of at) {
    line(context, [LEFT, y(value)], [width, y(value)]);
    context.fillText(text(value), LEFT - 6, y(value) + 4);
  }
  context.textAlign = "left";
  return y;
}

function wait(context, [width, height], colours) {
  context.fillStyle = colours.soft;
  context.textAlign = "center";
  context.fillText("Press Run, and curves begin here.", width / 2, height / 2);
  context.textAlign = "left";
}

/** What the axis below a chart counts. */
function under(context, [width, height], colours, text) {
  context.fillStyle = colours.soft;
  context.textAlign = "center";
  context.fillText(text, (LEFT + width) / 2, height - 6);
  context.textAlign = "left";
}

/** Round numbers between low and high, three to six of them. */
export function rounds(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => step * (first + i));
}

/** A number to two or three figures, without zeros that say nothing. */
export const brief = (value) => `${Number(value.toPrecision(Math.abs(value) < 100 ? 2 : 3))}`.replace("-", "−");

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))];
}

function line(context, from, to) {
  trace(context, [from, to]);
  context.stroke();
}

function draw(context, points, colour) {
  Object.assign(context, { strokeStyle: colour, lineWidth: 1.8, lineJoin: "round" });
  trace(context, points);
  context.stroke();
  context.lineWidth = 1;
}

function trace(context, points) {
  context.beginPath();
  for (const point of points) context.lineTo(...point);
}

/** Text with named strokes of colour in it: a string, or [class, name]. */
function legend(...parts) {
  const made = parts.map((part) =>
    typeof part === "string"
      ? part
      : make("span", { class: "pg-key" }, make("i", { class: part[0], "aria-hidden": "true" }), part[1]),
  );
  return make("span", {}, ...made);
}
