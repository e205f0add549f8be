// Sampler: one decoder, several priors side by side, and a count of the rare mode that each of them reaches.

import { button, clock, eachFrame, follow, make, mount, paintOn, picture, shown, sizeOf } from "./interface.mjs";
import { evaluate, inflated, meanImage, ownBuffer, readNetwork } from "./network.mjs";
import { stateOf, tools } from "./tools.mjs";

const LAST = 14; // pictures that stay in view for each prior
const PAUSE = 250; // milliseconds between draws
const MODE = "tongue out:";

const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

/** How many of the first `drawn` draws are hits. */
export const countHits = (hits, drawn) => hits.slice(0, drawn).reduce((a, b) => a + b, 0);

/** "7 of 120 (5.8 %)" */
export const shareText = (count, drawn) => (drawn ? `${count} of ${drawn} (${percent(count / drawn)})` : "none yet");

/** The share at the end of all bars: a little more than any of them, or the mark of the training images, has now. */
export const scaleEnd = ({ share, priors }, drawn) =>
  1.2 * Math.max(share, ...priors.map(({ hits }) => (drawn ? countHits(hits, drawn) / drawn : 0))) || 1;

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const network = readNetwork(spec.decoder, await inflated(model.get("weights")));
    const pool = new Float32Array(ownBuffer(await inflated(model.get("pool"))));
    const latents = spec.decoder[0].inputs;
    const decode = (prior, draw) => {
      const start = (prior * spec.draws + draw) * latents;
      return meanImage(evaluate(network, pool.subarray(start, start + latents)), spec.likelihood);
    };
    const decoders = spec.priors.map((_, i) => {
      const made = new Map(); // a draw is decoded once
      return (draw) => made.get(draw) ?? made.set(draw, decode(i, draw)).get(draw);
    });
    const columns = spec.priors.map((prior, i) => makeColumn(card, spec, prior, decoders[i]));
    const note = make("p", { class: "vae-note vae-news" });
    const redraw = eachFrame(card, () => {
      const end = scaleEnd(spec, model.get("drawn"));
      for (const column of columns) column.show(model.get("drawn"), end);
      note.textContent =
        model.get("drawn") === spec.draws
          ? atTheEnd(spec)
          : `${percent(spec.share)} of the training images show the tongue.`;
    });
    follow(card, model, "drawn", redraw);
    const sampled = make("div", { class: "vae-priors" }, ...columns.map(({ panel }) => panel));
    const { reset, ...state } = stateOf(model, "drawn", spec.draws); // "Start over" is its reset
    const take = tools(card, model, { state, canvas: () => sheet(decoders, model.get("drawn"), spec.shape) });
    card.body.append(make("div", { class: "vae-side vae-wide" }, controls(card, model, spec), note, sampled, take));
    redraw();
  });
}

/** The pictures in view, a row for each prior, the newest first. */
function sheet(decoders, drawn, [height, width, ...rest]) {
  const canvas = make("canvas", { width: LAST * (width + 1) - 1, height: decoders.length * (height + 1) - 1 });
  const context = canvas.getContext("2d");
  for (const [row, decode] of decoders.entries()) {
    for (let i = 0; i < Math.min(LAST, drawn); i++) {
      paintOn(context, decode(drawn - 1 - i), [height, width, ...rest], i * (width + 1), row * (height + 1));
    }
  }
  return canvas;
}

/** Why there is nothing more to draw. */
export const atTheEnd = ({ draws }) =>
  `All ${draws} stored draws from each prior have been shown. "Start over" shows them again.`;

function controls(card, model, spec) {
  const go = (drawn) => {
    model.set("drawn", Math.min(drawn, spec.draws));
    model.save_changes();
  };
  const say = () => {
    const drawn = model.get("drawn");
    const counts = spec.priors.map(({ name, hits }) => `${name}: ${shareText(countHits(hits, drawn), drawn)}`);
    card.say(`${drawn === spec.draws ? `${atTheEnd(spec)} ` : ""}${MODE} ${counts.join("; ")}`);
  };
  const start = () => {
    if (model.get("drawn") === spec.draws) go(0);
  };
  const tick = () => {
    go(model.get("drawn") + 1);
    return model.get("drawn") < spec.draws;
  };
  const { toggle, pause } = clock(card, "Run", PAUSE, { start, tick, paused: say });
  const jump = (drawn) => () => {
    go(drawn());
    pause(); // the hand comes before the clock
  };
  const buttons = [
    button(
      "Draw one",
      jump(() => model.get("drawn") + 1),
    ),
    button(
      "Draw 50",
      jump(() => model.get("drawn") + 50),
    ),
    button(
      "Start over",
      jump(() => 0),
    ),
  ];
  return make("div", { class: "vae-actions vae-clock" }, toggle, ...buttons);
}

function makeColumn(card, spec, { name, colour, hits }, decode) {
  const newest = picture(spec.shape, `Newest sample from the ${name}`, { size: "min(100%, 8rem)" });
  const row = Array.from({ length: LAST }, () => picture(spec.shape, "", { "aria-hidden": "true", size: "1.5rem" }));
  const count = make("span", { class: "vae-count" });
  const fill = make("span");
  const mark = make("i");
  const panel = make("div", { class: "vae-prior", role: "group", "aria-label": name });
  const paint = () => panel.style.setProperty("--vae-colour", shown(card, colour));
  card.onTheme(paint);
  paint();
  panel.append(
    make("p", { class: "vae-name" }, name),
    make("div", { class: "vae-newest" }, newest.canvas),
    make("div", { class: "vae-last" }, ...row.map(({ canvas }) => canvas)),
  );
  panel.append(make("span", { class: "vae-note" }, MODE), count, make("div", { class: "vae-bar" }, fill, mark));
  const blank = new Float32Array(sizeOf(spec.shape));
  const show = (drawn, end) => {
    const along = (share) => `${(100 * share) / end}%`;
    newest.paint(drawn ? decode(drawn - 1) : blank);
    newest.describe(drawn ? `number ${drawn}, ${hits[drawn - 1] ? "a hit" : "no hit"}` : "none yet");
    for (const [i, item] of row.entries()) {
      const draw = drawn - 1 - i;
      item.paint(draw >= 0 ? decode(draw) : blank);
      item.canvas.classList.toggle("vae-hit", draw >= 0 && hits[draw] === 1);
    }
    const found = countHits(hits, drawn);
    count.textContent = shareText(found, drawn);
    fill.style.width = along(drawn ? found / drawn : 0);
    mark.style.left = along(spec.share);
  };
  return { panel, show };
}
