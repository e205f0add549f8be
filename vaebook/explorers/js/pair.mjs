// Pair: drag a point over the plane of two latents, and the decoders of two models draw it.

import { captioned, eachFrame, follow, make, mount, number, picture, terms } from "./interface.mjs";
import { distance } from "./memory.mjs";
import { evaluate, inflated, meanImage, ownBuffer, readNetwork } from "./network.mjs";
import { describe, glides, legend, makePlane, makeSliders, mover } from "./plane.mjs";
import { stateOf, tools } from "./tools.mjs";

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const layers = readNetwork(
      spec.models.flatMap(({ decoder }) => decoder),
      await inflated(model.get("weights")),
    );
    const points = { at: new Float32Array(ownBuffer(await inflated(model.get("points")))), spec, marked: null };
    Object.assign(points, { asImages: false, ends: [] });
    const go = mover(model, spec.limit);
    const plane = makePlane(card, points, model, go);
    const sliders = makeSliders(model, spec.limit, go);
    const sides = spec.models.map((one) => makeSide(one, layers.splice(0, one.decoder.length), spec.shape));
    const readout = make("p", { class: "vae-readout" });
    const redraw = eachFrame(card, () => {
      const z = model.get("z");
      const said = sides.map(({ show }) => show(z));
      plane.redraw();
      for (const [j, item] of sliders.entries()) item.set(z[j]);
      readout.textContent = describe(z);
      card.say(`z = (${z.map((value) => number(value)).join(", ")}); ${said.join("; ")}`);
    });
    follow(card, model, "z", redraw);
    const pictures = make("div", { class: "vae-pair" }, ...sides.map(({ panel }) => panel));
    const moves = make("div", { class: "vae-actions" }, ...glides(card, model, go));
    const side = make("div", { class: "vae-side" }, pictures, ...sliders.map(({ row }) => row), readout, moves);
    const state = stateOf(model, "z", spec.limit);
    const take = tools(card, model, { state, copy: ["z", state], canvas: () => together(sides, spec.shape) });
    card.body.append(make("div", { class: "vae-plane" }, plane.area, ...legend(card, points, plane, "model")), side);
    card.body.append(make("div", { class: "vae-wide" }, take));
    redraw();
  });
}

/** A model's picture of z, and its numbers: show(z) draws it, and returns how far it is from that of the origin. */
function makeSide({ name, likelihood, kl, error }, network, shape) {
  const decode = (z) => meanImage(evaluate(network, z), likelihood).map((pixel) => Math.min(1, Math.max(0, pixel)));
  const first = decode([0, 0]);
  const image = picture(shape, `Picture of the model with ${name}`);
  const numbers = terms(["KL", "squared error", "change"]);
  const show = (z) => {
    const pixels = decode(z);
    const change = number(distance(pixels, first));
    image.paint(pixels);
    image.describe(`${change} from that of z = 0`);
    numbers.show([`${number(kl)} nats`, number(error), change]);
    return `${name}: ${change} from the picture at the origin`;
  };
  const panel = make("div", { class: "vae-side", role: "group", "aria-label": name });
  panel.append(captioned(image.canvas, name), numbers.row);
  return { panel, show, canvas: image.canvas };
}

/** Both pictures on one canvas. */
function together(sides, [height, width]) {
  const canvas = make("canvas", { width: 2 * width + 1, height });
  const context = canvas.getContext("2d");
  for (const [i, side] of sides.entries()) context.drawImage(side.canvas, i * (width + 1), 0);
  return canvas;
}
