// Machine: encoder, μ and σ, z, decoder, with their numbers; a part, its symbol and its line of code light up together.

import { makePad } from "./draw.mjs";
import {
  button,
  captioned,
  chart,
  closest,
  eachFrame,
  follow,
  make,
  mount,
  number,
  picture,
  readImages,
  slider,
  terms,
} from "./interface.mjs";
import {
  applyLayer,
  inflated,
  klPerLatent,
  logLikelihood,
  meanImage,
  normals,
  ownBuffer,
  posterior,
  readNetwork,
} from "./network.mjs";
import { drawContours, drawPoints, toCanvas } from "./plane.mjs";
import { stateOf, tools } from "./tools.mjs";

const INSET = 0.36; // of the plane's width
const ZOOMED = 3.2; // standard deviations from the inset's middle to its border

/** Everything that happens to an image x on its way, by the names of the code. */
export function passes(x, epsilon, encoder, decoder, likelihood) {
  const hidden = layers(encoder, x);
  const { mean, sigma } = posterior(hidden.at(-1));
  const z = Array.from(mean, (m, j) => m + sigma[j] * epsilon[j]);
  const shown = layers(decoder, z);
  const kl = klPerLatent({ mean, sigma }).reduce((a, b) => a + b, 0);
  const reconstruction = logLikelihood(x, shown.at(-1), likelihood);
  const picture = meanImage(shown.at(-1), likelihood);
  return { x, mean, sigma, epsilon, z, picture, kl, reconstruction, elbo: reconstruction - kl };
}

/** The outputs of each layer, the last one's at the end. */
function layers(network, input) {
  const found = [];
  for (const layer of network) found.push(applyLayer(found.at(-1) ?? input, layer));
  return found;
}

const pair = (values) => `[${Array.from(values, (value) => number(value)).join(", ")}]`;
const nats = (value) => `${number(value, 1)} nats`;

/** The lines of code: the part that each belongs to, its symbol, its text, and its value in words. */
export const steps = ({ encoder, decoder, likelihood }) => {
  const sizes = (network) => [network[0].inputs, ...network.map(({ outputs }) => outputs)].join(" → ");
  const log = likelihood.name === "bernoulli" ? "bernoulli_log_prob" : "gaussian_log_prob";
  return [
    [
      "x",
      "x",
      `x = image.reshape(1, ${encoder[0].inputs})`,
      ({ x }) => `${x.filter((p) => p > 0.5).length} bright pixels`,
    ],
    [
      "encoder",
      "q(z|x)",
      "mu, log_var = encoder(x)",
      () => sizes(encoder).replace(/(\d+)$/, (all) => `2 × ${all / 2}`),
    ],
    ["mean", "μ", "mu", ({ mean }) => pair(mean)],
    ["sigma", "σ", "sigma = exp(0.5 * log_var)", ({ sigma }) => pair(sigma)],
    ["epsilon", "ε", "epsilon = randn(2)", ({ epsilon }) => pair(epsilon)],
    ["z", "z", "z = mu + sigma * epsilon", ({ z }) => pair(z)],
    ["decoder", "p(x|z)", "a = decoder(z)", () => sizes(decoder)],
    [
      "picture",
      "E[x|z]",
      likelihood.mean === "sigmoid" ? "sigmoid(a)" : "a",
      ({ picture }) => `${picture.filter((p) => p > 0.5).length} bright pixels`,
    ],
    ["reconstruction", "log p(x|z)", `reconstruction = ${log}(x, a)`, ({ reconstruction }) => nats(reconstruction)],
    ["kl", "KL", "kl = gaussian_kl(mu, log_var).sum()", ({ kl }) => nats(kl)],
    ["elbo", "ELBO", "elbo = reconstruction - kl", ({ elbo }) => nats(elbo)],
  ];
};

/** What is drawn of a line: the parts of the picture that light up with it. */
const TOUCHES = { reconstruction: ["x", "picture"], kl: ["mean", "sigma"], elbo: ["x", "picture", "mean", "sigma"] };

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const images = readImages(await inflated(model.get("images")), spec.shape);
    const encoder = readNetwork(spec.encoder, await inflated(model.get("encoder")));
    const decoder = readNetwork(spec.decoder, await inflated(model.get("decoder")));
    const points = { at: new Float32Array(ownBuffer(await inflated(model.get("points")))), spec, marked: null };
    const state = { found: null, lit: null };
    const pad = makePad(card, model, spec, images);
    const made = picture(spec.shape, "The decoder's picture of z", { size: "10rem" });
    const seen = picture(spec.shape, "x, as the encoder sees it", { size: "3.5rem" });
    const plane = makePlane(card, points, state);
    const code = makeCode(card, spec, state, plane.redraw);
    const noise = makeNoise(model);
    const bound = terms(["log p(x|z)", "KL", "ELBO"]);
    const redraw = eachFrame(card, () => {
      const [x] = readImages(model.get("image"), spec.shape);
      state.found = passes(x, model.get("epsilon"), encoder, decoder, spec.likelihood);
      seen.paint(x);
      seen.describe(`most like ${spec.names[closest(x, images)]}`);
      made.paint(state.found.picture);
      made.describe(`most like ${spec.names[closest(state.found.picture, images)]}`);
      plane.redraw();
      code.show(state.found);
      noise.show(model.get("epsilon"));
      report(model, state.found);
      const { mean, sigma, z, reconstruction, kl, elbo } = state.found;
      bound.show([reconstruction, kl, elbo].map(nats));
      card.say(`μ ${pair(mean)}, σ ${pair(sigma)}, z ${pair(z)}, ELBO ${nats(elbo)}`);
    });
    follow(card, model, "image", redraw);
    follow(card, model, "epsilon", redraw);
    const stage = makeStage(pad, bound.row, seen, plane, made, code);
    const epsilon = stateOf(model, "epsilon", 3);
    const take = tools(card, model, {
      state: both(epsilon, pad.state),
      copy: ["ε", epsilon],
      canvas: () => made.canvas,
    });
    card.body.append(stage, code.panel, make("div", { class: "vae-side" }, noise.panel, take));
    redraw();
  });
}

/** Two states as one: their texts stand on either side of a tilde. */
function both(one, other) {
  const restore = (text) => {
    const [left, right] = text.split("~");
    one.restore(left);
    other.restore(right ?? "");
  };
  const reset = () => {
    one.reset();
    other.reset();
  };
  return {
    traits: [...one.traits, ...other.traits],
    text: () => `${one.text()}~${other.text() ?? ""}`,
    restore,
    reset,
  };
}

/** Lets Python read what was found. */
function report(model, { mean, sigma, z, reconstruction, kl }) {
  for (const [name, values] of Object.entries({ mean, sigma, z })) model.set(name, Array.from(values));
  model.set("reconstruction", reconstruction);
  model.set("kl", kl);
  model.save_changes();
}

/**
 * From left to right: the pad, the encoder, the plane, the decoder, the picture. The stored images stand below the pad, and
 * on a phone, where the code is far away, the terms of the bound.
 */
function makeStage(pad, bound, seen, plane, made, code) {
  const box = (part, text) => code.part(part, make("div", { class: `vae-box vae-${part}` }, text));
  const figure = (part, canvas, caption) => code.part(part, captioned(canvas, caption));
  const note = make("div", { class: "vae-note vae-seen" }, seen.canvas, "x, as the encoder sees it");
  return make(
    "div",
    { class: "vae-wide vae-stage" },
    code.part("x", make("div", { class: "vae-figure" }, pad.surface, note)),
    make("div", { class: "vae-with" }, pad.picks, bound),
    box("encoder", "encoder"),
    captioned(plane.canvas, "q(z|x): ellipses at 1 and 2 σ; z: the cross; enlarged in the corner"),
    box("decoder", "decoder"),
    figure("picture", made.canvas, "E[x|z]"),
  );
}

/** The lines of code. What is pointed at or has the focus lights up, with its part of the picture. */
function makeCode(card, spec, state, redraw) {
  const parts = new Map(); // name -> elements that light up with it
  const lines = steps(spec).map(([name, symbol, text, value]) => {
    const output = make("span", { class: "vae-value" });
    const row = make("button", { type: "button", class: "vae-step" });
    row.append(make("i", {}, symbol), make("code", {}, text), output);
    parts.set(name, [row]);
    return { name, row, show: (found) => output.replaceChildren(value(found)) };
  });
  const light = (name) => {
    state.lit = name;
    const lit = [name, ...(TOUCHES[name] ?? [])].flatMap((one) => parts.get(one) ?? []);
    for (const element of [...parts.values()].flat()) element.classList.toggle("vae-lit", lit.includes(element));
    redraw();
  };
  const part = (name, element) => {
    element.addEventListener("pointerenter", () => light(name));
    element.addEventListener("focusin", () => light(name));
    if (element.tagName !== "BUTTON") parts.get(name).push(element);
    return element;
  };
  for (const { name, row } of lines) part(name, row);
  const panel = make("div", {
    class: "vae-code",
    role: "group",
    "aria-label": "The code, line by line, with its values",
  });
  panel.append(...lines.map(({ row }) => row));
  card.root.addEventListener("pointerleave", () => light(null));
  card.root.addEventListener("focusout", ({ relatedTarget }) => {
    if (!card.root.contains(relatedTarget)) light(null);
  });
  const show = (found) => {
    for (const line of lines) line.show(found);
  };
  return { panel, part, show };
}

/** Two sliders for ε, and a button that draws it anew. */
function makeNoise(model) {
  const draw = normals(Date.now());
  const go = (values) => {
    model.set("epsilon", values);
    model.save_changes();
  };
  const rows = ["ε₁", "ε₂"].map((label, j) =>
    slider({
      label,
      min: -3,
      max: 3,
      step: 0.05,
      value: 0,
      act: (value) => go(model.get("epsilon").map((old, i) => (i === j ? value : old))),
      text: number,
    }),
  );
  const inside = () => Math.max(-3, Math.min(3, draw()));
  const panel = make("div", { class: "vae-side" }, ...rows.map(({ row }) => row));
  panel.append(
    make(
      "div",
      { class: "vae-actions" },
      button("New noise ε", () => go([inside(), inside()])),
    ),
  );
  const show = (values) => {
    for (const [j, row] of rows.entries()) row.set(values[j]);
  };
  return { panel, show };
}

/** The plane with the codes of training images and q(z|x); in the corner that is furthest, q(z|x) enlarged. */
function makePlane(card, points, state) {
  const { limit } = points.spec;
  const plane = chart(card, {
    label: "Latent plane with q(z|x)",
    ratio: 1,
    paint: (context, size, _, colours) => {
      drawPoints(context, size, card, points);
      drawContours(context, size, limit, colours);
      if (!state.found) return;
      const { mean, sigma, z } = state.found;
      const at = (point) => toCanvas(point, limit, size);
      const scale = size / (2 * limit);
      drawBelief(context, { at, scale, mean, sigma, z, lit: state.lit }, colours);
      drawInset(context, size, { mean, sigma, z, lit: state.lit }, colours);
      plane.describe(`mean ${pair(mean)}, sigma ${pair(sigma)}, z ${pair(z)}`);
    },
  });
  return plane;
}

/** Ellipses at one and two standard deviations, their middle, and z. */
function drawBelief(context, { at, scale, mean, sigma, z, lit }, colours) {
  context.strokeStyle = colours.ink;
  for (const width of [1, 2]) {
    context.lineWidth = lit === "sigma" || lit === "kl" ? 3 : 1.5;
    context.beginPath();
    context.ellipse(...at(mean), Math.max(1, width * sigma[0] * scale), Math.max(1, width * sigma[1] * scale), 0, 0, 7);
    context.stroke();
  }
  context.fillStyle = colours.ink;
  context.beginPath();
  context.arc(...at(mean), lit === "mean" || lit === "kl" ? 5 : 2.5, 0, 7);
  context.fill();
  const [x, y] = at(z);
  const reach = lit === "z" ? 9 : 6;
  context.strokeStyle = colours.second;
  context.lineWidth = lit === "z" ? 4 : 2.5;
  context.beginPath();
  context.moveTo(x - reach, y);
  context.lineTo(x + reach, y);
  context.moveTo(x, y - reach);
  context.lineTo(x, y + reach);
  context.stroke();
}

function drawInset(context, size, { mean, sigma, z, lit }, colours) {
  const side = INSET * size;
  const half = ZOOMED * Math.max(...sigma); // of the latent plane
  const [left, top] = [mean[0] < 0 ? size - side - 4 : 4, mean[1] < 0 ? 4 : size - side - 4];
  const at = ([a, b]) => [
    left + side * (0.5 + (a - mean[0]) / (2 * half)),
    top + side * (0.5 - (b - mean[1]) / (2 * half)),
  ];
  context.save();
  context.fillStyle = colours.plot;
  context.strokeStyle = colours.soft;
  context.lineWidth = 1;
  context.beginPath();
  context.rect(left, top, side, side);
  context.fill();
  context.stroke();
  context.clip();
  drawBelief(context, { at, scale: side / (2 * half), mean, sigma, z, lit }, colours);
  context.restore();
}
