// Draw and reconstruct: the encoder reads a drawing, and the decoder answers with what it understood.

import {
  button,
  captioned,
  chart,
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
  terms,
  thumbnails,
} from "./interface.mjs";
import {
  evaluate,
  inflated,
  klPerLatent,
  logLikelihood,
  meanImage,
  normals,
  posterior,
  readNetwork,
} from "./network.mjs";
import { rasterise, respelled, spelled } from "./stroke.mjs";
import { tools } from "./tools.mjs";
import { ownPicture } from "./upload.mjs";

const SAMPLES = 6; // pictures of the posterior
const DRAWS = 8; // for the reconstruction term
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const latents = spec.decoder[0].inputs;
    const images = readImages(await inflated(model.get("images")), spec.shape);
    const networks = {
      encoder: readNetwork(spec.encoder, await inflated(model.get("encoder"))),
      decoder: readNetwork(spec.decoder, await inflated(model.get("decoder"))),
    };
    const state = { noise: drawNoise(1, latents), belief: null };
    const again = button("New draws of z", () => {
      state.noise = drawNoise(Date.now(), latents);
      redraw();
    });
    const view = makeView(card, spec, state, images, again);
    const redraw = eachFrame(card, () => {
      const [x] = readImages(model.get("image"), spec.shape);
      state.belief = posterior(evaluate(networks.encoder, x));
      const found = judge(x, state, networks.decoder, spec.likelihood);
      view.show(x, found);
      report(model, state.belief, found);
    });
    follow(card, model, "image", redraw);
    const pad = makePad(card, model, spec, images);
    const reset = () => {
      state.noise = drawNoise(1, latents);
      pad.state.reset();
      redraw();
    };
    const take = tools(card, model, { state: { ...pad.state, reset }, canvas: () => view.made });
    const sketchpad = make("div", { class: "vae-side vae-sketch" }, pad.surface, view.terms, pad.picks);
    card.body.append(sketchpad, view.answer, make("div", { class: "vae-wide" }, take));
    redraw();
  });
}

/** Noise for every draw of z, fixed so that the pictures do not flicker while one draws. */
function drawNoise(seed, latents) {
  const draw = normals(seed);
  return Array.from({ length: DRAWS }, () => Float32Array.from({ length: latents }, draw));
}

/** The terms of the ELBO of x, and the pictures of the reconstruction and of the first draws of z. */
export function judge(x, { noise, belief }, decoder, likelihood) {
  const outputs = noise.map((epsilon) =>
    evaluate(
      decoder,
      belief.mean.map((m, j) => m + belief.sigma[j] * epsilon[j]),
    ),
  );
  const reconstruction = outputs.reduce((sum, y) => sum + logLikelihood(x, y, likelihood), 0) / outputs.length;
  const kl = klPerLatent(belief).reduce((a, b) => a + b, 0);
  const pictures = [evaluate(decoder, belief.mean), ...outputs.slice(0, SAMPLES)].map((y) => meanImage(y, likelihood));
  return { reconstruction, kl, elbo: reconstruction - kl, pictures };
}

/** Lets Python read what was found. */
function report(model, { mean, sigma }, { reconstruction, kl }) {
  model.set("mean", Array.from(mean));
  model.set("sigma", Array.from(sigma));
  model.set("reconstruction", reconstruction);
  model.set("kl", kl);
  model.save_changes();
}

function makeView(card, spec, state, images, again) {
  const seen = picture(spec.shape, "What the encoder sees", { size: "6rem" });
  const made = picture(spec.shape, "Reconstruction", { size: "6rem" });
  const samples = Array.from({ length: SAMPLES }, (_, i) =>
    picture(spec.shape, `Draw ${i + 1} from the posterior`, { size: "3.2rem" }),
  );
  const bars = makeBars(card, spec, state);
  const found = terms(["reconstruction term", "KL", "ELBO"]);
  const pair = make(
    "div",
    { class: "vae-row" },
    captioned(seen.canvas, "what it sees"),
    captioned(made.canvas, "reconstruction"),
  );
  const row = make("div", { class: "vae-samples" }, ...samples.map(({ canvas }) => canvas));
  const note = make("p", { class: "vae-note" }, `decoded draws from q(z|x) = N(μ, σ²)`);
  const show = (x, { reconstruction, kl, elbo, pictures }) => {
    seen.paint(x);
    for (const [i, item] of [made, ...samples].entries()) {
      item.paint(pictures[i]);
      item.describe(`most like ${spec.names[closest(pictures[i], images)]}`);
    }
    found.show([reconstruction, kl, elbo].map((value) => `${number(value, 1)} nats`));
    bars.redraw();
    bars.describe(few(spec.order.map((j) => inWords(j, state.belief))));
    card.say(`ELBO ${number(elbo, 1)} nats: reconstruction ${number(reconstruction, 1)}, KL ${number(kl, 1)}`);
  };
  const caption = "μ and σ of each latent: dot and bar; the prior's ±1 σ shaded";
  const draws = make("div", {}, row, note);
  const answer = make("div", { class: "vae-side vae-found" }, pair, draws, again, captioned(bars.canvas, caption));
  return { answer, made: made.canvas, terms: found.row, show };
}

const inWords = (j, { mean, sigma }) => `${latentName(j)} ${number(mean[j])} ± ${number(sigma[j])}`;

/** Mean and one standard deviation to either side, a column for each latent, the most informative first. */
function makeBars(card, spec, state) {
  const limit = 4;
  return chart(card, {
    label: "Mean and standard deviation of each latent",
    ratio: 0.45,
    paint: (context, width, height, colours) => {
      if (!state.belief) return;
      const step = (width - 24) / spec.order.length;
      const y = (value) => (height / 2) * (1 - Math.max(-limit, Math.min(limit, value)) / limit);
      context.fillStyle = colours.line;
      context.fillRect(24, y(1), width - 24, y(-1) - y(1));
      context.fillStyle = colours.soft;
      for (const value of [-3, 0, 3]) context.fillText(number(value, 0), 4, y(value) + 4);
      for (const [column, j] of spec.order.entries()) {
        const [x, m, s] = [24 + step * (column + 0.5), state.belief.mean[j], state.belief.sigma[j]];
        context.strokeStyle = context.fillStyle = spec.active[j] ? colours.accent : colours.soft;
        context.lineWidth = Math.max(2, Math.min(6, step / 3));
        context.beginPath();
        context.moveTo(x, y(m - s));
        context.lineTo(x, y(m + s));
        context.stroke();
        context.beginPath();
        context.arc(x, y(m), Math.max(2.5, Math.min(5, step / 2.5)), 0, 2 * Math.PI);
        context.fill();
      }
    },
  });
}

/** The drawing surface with its buttons, the stored images to take instead, and the state of both (see tools). */
export function makePad(card, model, spec, images) {
  const [height, width] = spec.shape;
  const state = { strokes: [], pen: [width / height / 2, 0.5], down: false, keys: false };
  const bytesOf = (pixels) => Uint8Array.from(pixels, (p) => Math.round(255 * p));
  const now = () => {
    const view = model.get("image");
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).join();
  };
  let shown = ""; // the image that came from here
  let chosen = -1; // the stored image that was taken
  let drawn = false; // whether the strokes made it
  const show = (pixels) => {
    const bytes = bytesOf(pixels);
    shown = bytes.join();
    model.set("image", new DataView(bytes.buffer));
    model.save_changes();
  };
  const canvas = makeSurface(width, height);
  const mark = (index) => {
    chosen = index;
    picks.mark(index);
    sketch(canvas, state);
  };
  const empty = (index) => {
    state.strokes = [];
    drawn = false;
    mark(index);
  };
  const choose = (i) => {
    empty(i);
    show(images[i]);
  };
  const picks = thumbnails({ shape: spec.shape, images, label: "Stored images", names: spec.names, choose });
  const change = () => {
    drawn = true;
    mark(-1);
    show(rasterise(state.strokes, spec.shape));
  };
  byPointer(canvas, state, change);
  byKeys(canvas, state, change);
  const keep = (chosen) => () => {
    state.strokes = chosen(state.strokes);
    change();
  };
  const undo = keep((strokes) => strokes.slice(0, -1));
  const clear = keep(() => []);
  const known = () => images.findIndex((image) => bytesOf(image).join() === now());
  follow(card, model, "image", () => {
    if (shown !== now()) empty(known()); // Python set another
  });
  empty(known());
  const text = () => {
    if (chosen >= 0) return `${chosen}`;
    return drawn && shown === now() ? spelled(state.strokes, width / height) : null; // a picture from elsewhere has none
  };
  const restore = (stored) => {
    const strokes = respelled(stored, width / height);
    if (strokes) keep(() => strokes)();
    else if (/^\d+$/.test(stored) && Number(stored) < images.length) choose(Number(stored));
  };
  const buttons = make("div", { class: "vae-actions" }, button("Undo", undo), button("Clear", clear));
  const take = (pixels) => {
    empty(-1);
    show(pixels);
  };
  const refuse = () => card.say("This browser reads no image from that file");
  const own = ownPicture(canvas, spec.shape, images, { take, refuse });
  const note = make("p", { class: "vae-note" }, "or take a stored image, or ", ...own, ":");
  return {
    surface: make("div", { class: "vae-surface" }, canvas, buttons),
    state: { traits: ["image"], text, restore, reset: () => choose(0) },
    picks: make("div", { class: "vae-side vae-picks" }, note, picks.row),
  };
}

function makeSurface(width, height) {
  const zoom = 448 / height;
  return make("canvas", {
    width: Math.round(width * zoom),
    height: Math.round(height * zoom),
    class: "vae-drawing",
    style: `--vae-aspect: ${width / height}`,
    role: "application",
    tabindex: "0",
    "aria-roledescription": "drawing pad",
    "aria-label": "Draw here. With keys: arrows move the pen, Space puts it down or lifts it, Escape clears.",
  });
}

/** Redraws the strokes as they were drawn; what the encoder sees of them is a picture of its own. */
function sketch(canvas, { strokes, pen, keys, down }) {
  const context = canvas.getContext("2d");
  const unit = canvas.height;
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = "#fff";
  context.lineWidth = unit / 14;
  context.lineCap = context.lineJoin = "round";
  for (const [first, ...rest] of strokes) {
    context.beginPath();
    context.moveTo(first[0] * unit, first[1] * unit);
    for (const [x, y] of rest.length ? rest : [first]) context.lineTo(x * unit, y * unit);
    context.stroke();
  }
  if (!strokes.length && !keys) {
    context.fillStyle = "#aaa";
    context.font = `${unit / 14}px sans-serif`;
    context.textAlign = "center";
    context.fillText("draw here", canvas.width / 2, unit / 2);
  }
  if (!keys) return;
  context.strokeStyle = down ? "#88ccee" : "#cc6677";
  context.lineWidth = 4;
  context.beginPath();
  context.arc(pen[0] * unit, pen[1] * unit, unit / 24, 0, 2 * Math.PI);
  context.stroke();
}

function byPointer(canvas, state, change) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.height, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    Object.assign(state, { keys: false, down: false });
    state.strokes.push([at(event)]);
    change();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId) || !state.strokes.length) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) state.strokes.at(-1).push(at(part));
    change();
  });
}

function byKeys(canvas, state, change) {
  const aspect = canvas.width / canvas.height;
  const inside = (value, limit) => Math.max(0.05, Math.min(limit - 0.05, value));
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move && event.key !== " " && event.key !== "Escape") return;
    event.preventDefault();
    state.keys = true;
    if (event.key === "Escape") Object.assign(state, { strokes: [], down: false });
    if (event.key === " ") {
      state.down = !state.down;
      if (state.down) state.strokes.push([[...state.pen]]);
    }
    if (move) state.pen = [inside(state.pen[0] + 0.04 * move[0], aspect), inside(state.pen[1] + 0.04 * move[1], 1)];
    if (move && state.down) state.strokes.at(-1).push([...state.pen]);
    if (state.down || event.key === "Escape") change();
    else sketch(canvas, state);
  });
}
