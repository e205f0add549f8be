// Sampler: one decoder, several priors side by side, and a count of the rare mode that each of them reaches.

import { button, eachFrame, follow, make, mount, picture, shown } from "./interface.mjs";
import { evaluate, meanImage, ownBuffer, readNetwork } from "./network.mjs";

const LAST = 14; // pictures that stay in view for each prior
const PAUSE = 250; // milliseconds between draws

/** How many of the first `drawn` draws are hits. */
export const countHits = (hits, drawn) => hits.slice(0, drawn).reduce((a, b) => a + b, 0);

/** "7 of 120 (5.8 %)" */
export const shareText = (count, drawn) =>
  drawn ? `${count} of ${drawn} (${((100 * count) / drawn).toFixed(1)} %)` : "none yet";

function render({ model, el }) {
  return mount({ model, el }, (card) => {
    const spec = model.get("spec");
    const network = readNetwork(spec.decoder, model.get("weights"));
    const pool = new Float32Array(ownBuffer(model.get("pool")));
    const decode = (prior, draw) => {
      const start = (prior * spec.draws + draw) * spec.latents;
      return meanImage(evaluate(network, pool.subarray(start, start + spec.latents)), spec.likelihood);
    };
    const columns = spec.priors.map((prior, i) => {
      const made = new Map(); // a draw is decoded once
      const once = (draw) => made.get(draw) ?? made.set(draw, decode(i, draw)).get(draw);
      return makeColumn(card, spec, prior, once);
    });
    const redraw = eachFrame(card, () => {
      for (const column of columns) column.show(model.get("drawn"));
    });
    follow(card, model, "drawn", redraw);
    const sampled = make(
      "div",
      { class: "vae-row", style: "align-items: start" },
      ...columns.map(({ panel }) => panel),
    );
    const note = make("p", { class: "vae-note" }, spec.note);
    card.body.append(make("div", { class: "vae-side vae-wide" }, controls(card, model, spec), sampled, note));
    redraw();
  });
}

function controls(card, model, spec) {
  let timer;
  const go = (drawn) => {
    model.set("drawn", Math.min(drawn, spec.draws));
    model.save_changes();
  };
  const say = () => {
    const drawn = model.get("drawn");
    const counts = spec.priors.map(({ name, hits }) => `${name}: ${shareText(countHits(hits, drawn), drawn)}`);
    card.say(`${spec.mode}. ${counts.join("; ")}`);
  };
  const pause = () => {
    clearInterval(timer);
    timer = undefined;
    run.textContent = "Run";
    say();
  };
  const tick = () => {
    go(model.get("drawn") + 1);
    if (model.get("drawn") === spec.draws) pause();
  };
  const run = button("Run", () => {
    if (timer) return pause();
    if (model.get("drawn") === spec.draws) go(0);
    timer = setInterval(tick, PAUSE);
    run.textContent = "Pause";
  });
  const more = (count) => () => {
    go(model.get("drawn") + count);
    say();
  };
  const over = button("Start over", () => {
    go(0);
    pause();
  });
  card.cleanups.push(() => clearInterval(timer));
  return make("div", { class: "vae-actions" }, run, button("Draw one", more(1)), button("Draw 50", more(50)), over);
}

function makeColumn(card, spec, { name, colour, hits }, decode) {
  const newest = picture(spec.shape, `Newest sample from the ${name}`, { style: "--vae-size: min(100%, 8rem)" });
  const row = Array.from({ length: LAST }, () =>
    picture(spec.shape, "", { "aria-hidden": "true", style: "--vae-size: 1.5rem" }),
  );
  const count = make("span", { class: "vae-count" });
  const fill = make("span");
  const mark = make("i", { style: `left: ${share(spec.share, spec)}` });
  const panel = make("div", { class: "vae-prior", role: "group", "aria-label": name });
  const paint = () => panel.style.setProperty("--vae-colour", shown(card, colour));
  card.onTheme(paint);
  paint();
  panel.append(
    make("p", { class: "vae-name" }, name),
    newest.canvas,
    make("div", { class: "vae-actions" }, ...row.map(({ canvas }) => canvas)),
  );
  panel.append(make("span", { class: "vae-note" }, spec.mode), count, make("div", { class: "vae-bar" }, fill, mark));
  const blank = new Float32Array(spec.shape[0] * spec.shape[1]);
  const show = (drawn) => {
    newest.paint(drawn ? decode(drawn - 1) : blank);
    for (const [i, item] of row.entries()) {
      const draw = drawn - 1 - i;
      item.paint(draw >= 0 ? decode(draw) : blank);
      item.canvas.classList.toggle("vae-hit", draw >= 0 && hits[draw] === 1);
    }
    const found = countHits(hits, drawn);
    count.textContent = shareText(found, drawn);
    fill.style.width = share(drawn ? found / drawn : 0, spec);
  };
  return { panel, show };
}

/** On a bar that reaches to twice the largest share there is. */
const share = (value, { largest }) => `${Math.min(100, (100 * value) / largest)}%`;

export default { render };
