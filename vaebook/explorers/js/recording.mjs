// Recording: scrub through a training, from the untrained model on.

import { line, makeSheet, ticks } from "./dial.mjs";
import {
  captioned,
  chart,
  clock,
  eachFrame,
  follow,
  make,
  mount,
  number,
  readImages,
  slider,
  terms,
} from "./interface.mjs";
import { inflated } from "./network.mjs";
import { stateOf, tools } from "./tools.mjs";

const PAUSE = 350; // milliseconds of a moment
const LEFT = 40; // pixels for the numbers of an axis
const NAMES = { elbo: "ELBO", reconstruction: "reconstruction", kl: "KL" };
const CAPTIONS = {
  bound: "ELBO and reconstruction against steps, in nats; their gap is the KL",
  kl: "KL against steps, in nats",
  pictures: "test images, their reconstructions, and samples from z that stay the same",
};

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const last = spec.moments.length - 1;
    const moment = () => spec.moments[model.get("index")];
    const go = (index) => {
      model.set("index", index);
      model.save_changes();
    };
    const play = clock(card, "Play", PAUSE, {
      start: () => {
        if (model.get("index") === last) go(0);
      },
      tick: () => {
        go(model.get("index") + 1);
        return model.get("index") < last;
      },
      paused: () => card.say(inWords(moment())),
    });
    const act = (index) => {
      go(index);
      play.pause(); // the hand comes before the clock
    };
    const text = (index) => count(spec.moments[index].step);
    const position = slider({ label: "steps", min: 0, max: last, step: 1, value: model.get("index"), act, text });
    const found = terms(Object.values(NAMES));
    const charts = makeCharts(card, spec, moment);
    const [originals, stored] = [await inflated(model.get("originals")), await inflated(model.get("pictures"))];
    const sheet = makeSheet(spec, readImages(originals, spec.shape), readImages(stored, spec.shape));
    const redraw = eachFrame(card, () => {
      const { step, elbo, reconstruction, kl } = moment();
      found.show([elbo, reconstruction, kl].map((nats) => `${number(nats, 1)} nats`));
      position.set(model.get("index"));
      for (const one of charts) {
        one.redraw();
        one.describe(inWords(moment()));
      }
      sheet.paint(model.get("index"));
      sheet.canvas.setAttribute("aria-label", `${CAPTIONS.pictures}, after ${count(step)} steps`);
    });
    follow(card, model, "index", redraw);
    const along = make("div", { class: "vae-walk" }, play.toggle, position.row);
    const curves = make("div", { class: "vae-side" }, ...charts.map(({ figure }) => figure));
    const pictures = make("div", { class: "vae-side" }, captioned(sheet.canvas, CAPTIONS.pictures));
    const state = stateOf(model, "index", last);
    const take = tools(card, model, { state, canvas: () => sheet.canvas });
    card.body.append(make("div", { class: "vae-wide vae-top vae-moment" }, along, found.row), pictures, curves);
    card.body.append(make("div", { class: "vae-wide" }, take));
    redraw();
  });
}

const count = (steps) => steps.toLocaleString("en");

/** A moment for those who do not see it. */
export const inWords = ({ step, elbo, reconstruction, kl }) =>
  `after ${count(step)} steps ELBO ${number(elbo, 1)}, reconstruction ${number(reconstruction, 1)}, KL ${number(kl, 1)} nats`;

/** Where a step stands between the first and the last, 0 to 1, on an axis that starts at 0 and grows like a logarithm. */
export const along = (step, last) => Math.log1p(step) / Math.log1p(last);

/** The two curves above the KL's. */
function makeCharts(card, spec, moment) {
  const { moments, levels } = spec;
  const values = moments.flatMap(({ elbo, reconstruction }) => [elbo, reconstruction]);
  const range = [Math.min(...values), Math.max(...values)];
  const most = Math.max(...moments.map(({ kl }) => kl));
  const bound = { names: { reconstruction: "second", elbo: "accent" }, range, levels, ratio: 0.6 };
  const kl = { names: { kl: "second" }, range: [0, most], levels: {}, ratio: 0.35 };
  return Object.entries({ bound, kl }).map(([name, what]) => {
    const label = CAPTIONS[name];
    const made = chart(card, {
      label,
      ratio: what.ratio,
      paint: (...place) => paint(...place, moments, what, moment()),
    });
    return { ...made, figure: captioned(made.canvas, label) };
  });
}

function paint(context, width, height, colours, moments, { names, range: [low, high], levels }, now) {
  const last = moments.at(-1).step;
  const x = (step) => LEFT + (width - LEFT - 10) * along(step, last);
  const y = (nats) => 10 + (height - 34) * (1 - (nats - low) / (high - low));
  context.fillStyle = colours.soft;
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  for (const size of ticks(Math.max(-low, high))) {
    const nats = low < 0 ? -size : size;
    if (nats < low || nats > high) continue;
    line(context, LEFT, y(nats), width, y(nats));
    context.fillText(number(nats, 0), 4, y(nats) + 4);
  }
  context.textAlign = "center";
  for (let step = 1; step <= last; step *= 10) {
    const shown = step > 1 ? step : 0; // between them is no room for a 1
    context.fillText(count(shown), x(shown), height - 6);
  }
  context.textAlign = "left";
  for (const [name, nats] of Object.entries(levels)) {
    context.strokeStyle = context.fillStyle = colours.soft;
    context.setLineDash([4, 4]);
    line(context, LEFT, y(nats), width, y(nats));
    context.setLineDash([]);
    context.fillText(name, LEFT + 4, y(nats) - 5);
  }
  context.textAlign = "right";
  for (const [i, [name, colour]] of Object.entries(names).entries()) {
    context.fillStyle = colours[colour];
    context.fillText(NAMES[name], width - 8, height - 28 - 16 * (Object.keys(names).length - 1 - i));
  }
  context.textAlign = "left";
  context.strokeStyle = colours.ink;
  line(context, x(now.step), 4, x(now.step), height - 22);
  for (const [name, colour] of Object.entries(names)) {
    context.strokeStyle = context.fillStyle = colours[colour];
    context.lineWidth = 2;
    context.beginPath();
    for (const one of moments) context.lineTo(x(one.step), y(one[name]));
    context.stroke();
    context.beginPath();
    context.arc(x(now.step), y(now[name]), 4, 0, 2 * Math.PI);
    context.fill();
  }
}
