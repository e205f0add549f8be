// Latent sliders: one for each latent, the most informative first; random samples; a walk between two images.

import {
  animate,
  button,
  captioned,
  eachFrame,
  follow,
  make,
  mount,
  number,
  picture,
  readImages,
  slider,
  thumbnails,
} from "./interface.mjs";
import { evaluate, meanImage, normals, readNetwork } from "./network.mjs";

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/** z with a subscript: z₁₂. Latents are counted from 1, as in the text. */
export const latentName = (j) => `z${[...String(j + 1)].map((digit) => SUBSCRIPTS[digit]).join("")}`;

/** The point at a share t of the straight line from a to b. */
export const between = (a, b, t) => a.map((value, j) => value + t * (b[j] - value));

function render({ model, el }) {
  return mount({ model, el }, (card) => {
    const spec = model.get("spec");
    const network = readNetwork(spec.decoder, model.get("weights"));
    const image = picture(spec.shape, "Decoded picture");
    const go = (z) => {
      model.set("z", Array.from(z));
      model.save_changes();
    };
    const latents = makeLatents(model, spec, go);
    const redraw = eachFrame(card, () => {
      const z = model.get("z");
      image.paint(meanImage(evaluate(network, z), spec.likelihood));
      for (const [j, item] of latents.sliders) item.set(z[j]);
    });
    follow(card, model, "z", redraw);
    const side = make(
      "div",
      { class: "vae-side vae-beside vae-follow" },
      captioned(image.canvas, "decoder's mean E[x|z]"),
      actions(card, spec, go),
    );
    card.body.append(side, latents.panel, makeWalk(card, model, spec, go));
    redraw();
  });
}

function makeLatents(model, spec, go) {
  const sliders = new Map();
  const row = (j) => {
    const item = slider({
      label: latentName(j),
      min: -spec.limit,
      max: spec.limit,
      step: 0.05,
      value: model.get("z")[j],
      act: (value) => go(model.get("z").map((old, i) => (i === j ? value : old))),
      text: number,
    });
    const meter = make("span", { class: "vae-meter", title: `${latentName(j)} carries ${spec.kl[j].toFixed(3)} nats` });
    meter.textContent = `${spec.kl[j].toFixed(2)} nats`;
    meter.style.setProperty("--vae-share", `${(100 * spec.kl[j]) / spec.kl[spec.order[0]]}%`);
    item.row.append(meter);
    sliders.set(j, item);
    return item.row;
  };
  const active = spec.order.filter((j) => spec.active[j]);
  const idle = spec.order.filter((j) => !spec.active[j]);
  const panel = make("div", { class: "vae-side" }, make("div", { class: "vae-latents" }, ...active.map(row)));
  if (idle.length) {
    const note = `${idle.length} inactive: the encoder does not use ${idle.length > 1 ? "them" : "it"}`;
    const rest = make("div", { class: "vae-latents" }, ...idle.map(row));
    panel.append(make("details", {}, make("summary", {}, note), rest));
  }
  return { sliders, panel };
}

function actions(card, spec, go) {
  const draw = normals(Date.now());
  const act = (text, z) => {
    go(z);
    card.say(text);
  };
  const size = spec.kl.length;
  return make(
    "div",
    { class: "vae-actions" },
    button("Random sample", () => act("a new sample from the prior", Array.from({ length: size }, draw))),
    button("Reset to 0", () => act("all latents are 0", new Array(size).fill(0))),
  );
}

/** Two rows of stored images, and a slider on the straight line between the codes of the two that are chosen. */
function makeWalk(card, model, spec, go) {
  const images = readImages(model.get("images"), spec.shape[0] * spec.shape[1]);
  const ends = [0, Math.min(1, images.length - 1)];
  let stop = () => {};
  const place = (t) => go(between(spec.codes[ends[0]], spec.codes[ends[1]], t));
  const along = slider({ label: "t", min: 0, max: 1, step: 0.01, value: 0, act: place, text: number });
  along.input.setAttribute("aria-label", "share of the way");
  const rows = ["from", "to"].map((word, end) => {
    const choose = (i) => {
      ends[end] = i;
      rows[end].mark(i);
      along.set(end);
      place(end);
      card.say(`${word} ${spec.names[i]}`);
    };
    return thumbnails({ shape: spec.shape, images, label: `Walk ${word}`, names: spec.names, choose });
  });
  for (const [end, row] of rows.entries()) row.mark(ends[end]);
  const walk = button("Walk", () => {
    stop();
    stop = animate(card, 2500, (t) => {
      along.set(t);
      place(t);
    });
  });
  const lines = rows.map(({ row }, end) =>
    make("div", { class: "vae-row" }, make("span", { class: "vae-end" }, ["from", "to"][end]), row),
  );
  return make("div", { class: "vae-side vae-wide" }, ...lines, make("div", { class: "vae-walk" }, walk, along.row));
}

export default { render };
