// Latent sliders: one for each latent, the most informative first; random samples; a walk between two images.

import {
  animate,
  button,
  captioned,
  closest,
  eachFrame,
  few,
  follow,
  latentName,
  make,
  mount,
  number,
  picture,
  readImages,
  slider,
  thumbnails,
} from "./interface.mjs";
import { makeMemory } from "./memory.mjs";
import { evaluate, inflated, meanImage, normals, readNetwork } from "./network.mjs";
import { stateOf, tools } from "./tools.mjs";

/** The point at a share t of the straight line from a to b. */
export const between = (a, b, t) => a.map((value, j) => value + t * (b[j] - value));

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const network = readNetwork(spec.decoder, await inflated(model.get("weights")));
    const images = readImages(await inflated(model.get("images")), spec.shape);
    const remembered = readImages(await inflated(model.get("thumbnails")), spec.shape);
    const memory = makeMemory(remembered, spec.shape, spec.memory, "4rem");
    const image = picture(spec.shape, "Decoded picture");
    const go = (z) => {
      model.set("z", Array.from(z));
      model.save_changes();
    };
    const walk = makeWalk(card, images, spec, go);
    const latents = makeLatents(model, spec, go, () => walk.focus());
    const redraw = eachFrame(card, () => {
      const z = model.get("z");
      const pixels = meanImage(evaluate(network, z), spec.likelihood);
      const looks = `most like ${spec.names[closest(pixels, images)]}`;
      image.paint(pixels);
      const nearest = memory.show(pixels);
      image.describe(looks);
      for (const [j, item] of latents.sliders) item.set(z[j]);
      card.say(`${looks}; ${nearest}; ${few(spec.order.map((j) => `${latentName(j)} ${number(z[j])}`))}`);
    });
    follow(card, model, "z", redraw);
    const side = make(
      "div",
      { class: "vae-side vae-beside vae-follow" },
      captioned(image.canvas, "decoder's mean E[x|z]"),
      make(
        "div",
        { class: "vae-side" },
        actions(spec, go),
        make("div", { class: "vae-recall" }, memory.canvas, memory.note),
      ),
    );
    const state = stateOf(model, "z", spec.limit);
    const take = tools(card, model, { state, copy: ["z", state], canvas: () => image.canvas });
    card.body.append(side, latents.panel, walk.panel, make("div", { class: "vae-wide" }, take));
    redraw();
  });
}

/** The sliders, with a way round them for those who come by keyboard: skip() leads behind them. */
function makeLatents(model, spec, go, skip) {
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
  const label = `${active.length} latents, the most informative first`;
  const panel = make("div", { class: "vae-side", role: "group", "aria-label": label });
  panel.append(button(`Skip ${active.length} sliders`, skip, { class: "vae-button vae-skip" }));
  panel.append(make("div", { class: "vae-latents" }, ...active.map(row)));
  if (idle.length) {
    const note = `${idle.length} inactive: the encoder does not use ${idle.length > 1 ? "them" : "it"}`;
    const rest = make("div", { class: "vae-latents" }, ...idle.map(row));
    panel.append(make("details", {}, make("summary", {}, note), rest));
  }
  return { sliders, panel };
}

function actions(spec, go) {
  const draw = normals(Date.now());
  const size = spec.kl.length;
  return make(
    "div",
    { class: "vae-actions" },
    button("Random sample", () => go(Array.from({ length: size }, draw))),
    button("Reset to 0", () => go(new Array(size).fill(0))),
  );
}

/** Two rows of stored images, and a slider on the straight line between the codes of the two that are chosen. */
function makeWalk(card, images, spec, go) {
  const ends = [0, Math.min(1, images.length - 1)];
  const place = (t) => go(between(spec.codes[ends[0]], spec.codes[ends[1]], t));
  const along = slider({ label: "t", min: 0, max: 1, step: 0.01, value: 0, act: place, text: number });
  along.input.setAttribute("aria-label", "share of the way");
  const rows = ["from", "to"].map((word, end) => {
    const choose = (i) => {
      ends[end] = i;
      rows[end].mark(i);
      along.set(end);
      place(end);
    };
    return thumbnails({ shape: spec.shape, images, label: `Walk ${word}`, names: spec.names, choose });
  });
  for (const [end, row] of rows.entries()) row.mark(ends[end]);
  const walk = button("Walk", () =>
    animate(card, 2500, (t) => {
      along.set(t);
      place(t);
    }),
  );
  const lines = rows.map(({ row }, end) =>
    make("div", { class: "vae-line" }, make("span", { class: "vae-end" }, ["from", "to"][end]), row),
  );
  const panel = make("div", { class: "vae-side vae-wide" }, ...lines);
  panel.append(make("div", { class: "vae-walk" }, walk, along.row));
  return { panel, focus: () => panel.querySelector("[aria-checked=true]").focus() };
}
