// Manifold pad: drag a point over the plane of two latents, and the decoder's picture follows.

import {
  animate,
  button,
  captioned,
  chart,
  eachFrame,
  follow,
  make,
  mount,
  number,
  picture,
  readImages,
  SIDEWAYS,
  shown,
  slider,
} from "./interface.mjs";
import { makeCloud, makeMemory } from "./memory.mjs";
import { evaluate, inflated, meanImage, normals, ownBuffer, readNetwork } from "./network.mjs";
import { stateOf, tools } from "./tools.mjs";
import { makeWalk } from "./walk.mjs";

const CONTOURS = [1, 2, 3]; // standard deviations of the prior
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function render({ model, el }) {
  return mount({ model, el }, async (card) => {
    const spec = model.get("spec");
    const network = readNetwork(spec.decoder, await inflated(model.get("weights")));
    const images = readImages(await inflated(model.get("thumbnails")), spec.shape);
    const points = { at: new Float32Array(ownBuffer(await inflated(model.get("points")))), spec, marked: null };
    Object.assign(points, { cloud: makeCloud(images, spec.shape), asImages: false, ends: [] });
    const decode = (z) => meanImage(evaluate(network, z), spec.likelihood);
    const memory = makeMemory(images, spec.shape, spec.memory);
    const image = picture(spec.shape, "Decoded picture");
    const readout = make("p", { class: "vae-readout" });
    const go = mover(model, spec.limit);
    const plane = makePlane(card, points, model, go);
    const sliders = makeSliders(model, spec.limit, go);
    let remembered = "";
    const redraw = eachFrame(card, () => {
      const z = model.get("z");
      const pixels = decode(z);
      image.paint(pixels);
      image.describe(neighbour(z, points));
      remembered = memory.show(pixels);
      plane.redraw();
      for (const [j, item] of sliders.entries()) item.set(z[j]);
      readout.textContent = describe(z);
    });
    follow(card, model, "z", () => {
      redraw();
      const z = model.get("z");
      card.say([describe(z), neighbour(z, points), remembered].filter(Boolean).join("; "));
    });
    const controls = make("div", { class: "vae-side" }, ...sliders.map(({ row }) => row), readout);
    const pair = make("div", { class: "vae-pair" }, captioned(image.canvas, "decoder's mean E[x|z]"), memory.figure);
    const side = make(
      "div",
      { class: "vae-side" },
      pair,
      memory.note,
      controls,
      actions(card, model, go, points, plane),
    );
    const walk = makeWalk(card, {
      shape: spec.shape,
      start: [
        [-1.5, 0],
        [1.5, 0],
      ],
      decode,
      here: () => model.get("z"),
      go,
      changed: plane.redraw,
    });
    points.ends = walk.ends;
    const place = stateOf(model, "z", spec.limit);
    const reset = () => {
      place.reset();
      walk.reset();
    };
    const take = tools(card, model, { state: { ...place, reset }, copy: ["z", place], canvas: () => image.canvas });
    card.body.append(make("div", { class: "vae-plane" }, plane.area, ...legend(card, points, plane)), side);
    card.body.append(walk.panel, make("div", { class: "vae-wide" }, take));
    redraw();
  });
}

const clamp = (value, limit) => Math.max(-limit, Math.min(limit, value));

/** Sets z, to a point of the plane. */
export const mover = (model, limit) => (z) => {
  model.set(
    "z",
    z.map((value) => clamp(value, limit)),
  );
  model.save_changes();
};

/** A slider for each of the two latents. */
export function makeSliders(model, limit, go) {
  return ["z₁", "z₂"].map((label, j) =>
    slider({
      label,
      min: -limit,
      max: limit,
      step: 0.01,
      value: model.get("z")[j],
      act: (value) => go(model.get("z").map((old, i) => (i === j ? value : old))),
      text: number,
    }),
  );
}

/** Where z is, and how much of a two-dimensional standard normal lies further out: e^(-|z|^2 / 2). */
export function describe([z1, z2]) {
  const square = z1 * z1 + z2 * z2;
  const outside = 100 * Math.exp(-square / 2);
  const share = outside < 1 ? "less than 1" : outside.toFixed(0);
  return `z = (${number(z1)}, ${number(z2)}): ${number(Math.sqrt(square))} from the origin; ${share}\u00a0% of the prior lies further out`;
}

/** The class of the code next to z, in words; nothing where there are no classes. */
export function neighbour([z1, z2], { at, spec }) {
  if (spec.groups.length < 2) return "";
  let [nearest, least] = [0, Number.POSITIVE_INFINITY];
  for (let i = 0; i < spec.members.length; i++) {
    const away = (at[2 * i] - z1) ** 2 + (at[2 * i + 1] - z2) ** 2;
    if (away < least) [nearest, least] = [i, away];
  }
  return `nearest code: class ${spec.groups[spec.members[nearest]].name}`;
}

/** From the latent plane to the canvas and back: z₁ grows to the right, z₂ upwards. */
export const toCanvas = ([z1, z2], limit, size) => [((z1 / limit + 1) / 2) * size, ((1 - z2 / limit) / 2) * size];
export const toPlane = ([x, y], limit, size) => [((2 * x) / size - 1) * limit, (1 - (2 * y) / size) * limit];

/** The chart, and over it a handle on z: a finger drags that anywhere; elsewhere it can still scroll the page. */
export function makePlane(card, points, model, go) {
  const { limit } = points.spec;
  const handle = make("div", { class: "vae-handle", "aria-hidden": "true" });
  const plane = chart(card, {
    label: "Latent plane. Arrow keys move z, with Shift in larger steps; Home returns to the origin",
    ratio: 1,
    attributes: {
      role: "application",
      tabindex: "0",
      class: "vae-chart vae-pad",
      "aria-roledescription": "two-dimensional slider",
    },
    paint: (context, size, _, colours) => {
      const [x, y] = toCanvas(model.get("z"), limit, size);
      (points.asImages ? drawImages : drawPoints)(context, size, card, points);
      drawContours(context, size, limit, colours);
      drawEnds(context, size, points, colours);
      drawHandle(context, [x, y], colours);
      handle.style.translate = `calc(${x}px - 50%) calc(${y}px - 50%)`;
      plane.describe(describe(model.get("z")));
    },
  });
  const { canvas } = plane;
  const drag = (event) => {
    const box = canvas.getBoundingClientRect();
    go(toPlane([event.clientX - box.left, event.clientY - box.top], limit, box.width));
  };
  onDrag(canvas, drag, true);
  onDrag(handle, drag, false);
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step && event.key !== "Home") return;
    event.preventDefault();
    const size = event.shiftKey ? 0.5 : 0.1;
    go(step ? model.get("z").map((value, j) => value + size * step[j]) : [0, 0]);
  });
  return { ...plane, area: make("div", { class: "vae-area" }, canvas, handle) };
}

/** Calls act(event) while a pointer drags. Of a `patient` element a finger gets hold by a tap, or on its way sideways. */
function onDrag(element, act, patient) {
  let waiting = null; // where a finger was put down that may yet scroll the page
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    waiting = patient && event.pointerType === "touch" ? event.clientX : null;
    if (waiting === null) act(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (!element.hasPointerCapture(event.pointerId)) return;
    if (waiting !== null && Math.abs(event.clientX - waiting) < SIDEWAYS) return;
    waiting = null;
    act(event);
  });
  element.addEventListener("pointerup", (event) => {
    if (waiting !== null) act(event);
    waiting = null;
  });
}

export function drawContours(context, size, limit, colours) {
  const [x0, y0] = toCanvas([0, 0], limit, size);
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, y0);
  context.lineTo(size, y0);
  context.moveTo(x0, 0);
  context.lineTo(x0, size);
  context.stroke();
  context.strokeStyle = colours.soft;
  context.fillStyle = colours.soft;
  for (const sigmas of CONTOURS) {
    const radius = ((sigmas / limit) * size) / 2;
    context.setLineDash([3, 4]);
    context.beginPath();
    context.arc(x0, y0, radius, 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
    halo(context, `${sigmas}σ`, [x0 + radius * Math.SQRT1_2 + 3, y0 - radius * Math.SQRT1_2 - 3], colours);
  }
  halo(context, "z₁", [size - 18, y0 - 6], colours);
  halo(context, "z₂", [x0 + 6, 15], colours);
}

function halo(context, text, [x, y], colours) {
  context.strokeStyle = colours.plot;
  context.lineWidth = 4;
  context.strokeText(text, x, y);
  context.strokeStyle = context.fillStyle = colours.soft;
  context.lineWidth = 1;
  context.fillText(text, x, y);
}

export function drawPoints(context, size, card, { at, spec, marked }) {
  for (const [group, { colour }] of spec.groups.entries()) {
    context.fillStyle = shown(card, colour);
    context.globalAlpha = marked === null ? 0.6 : marked === group ? 0.9 : 0.08;
    context.beginPath();
    for (let i = 0; i < spec.members.length; i++) {
      if (spec.members[i] !== group) continue;
      const [x, y] = toCanvas([at[2 * i], at[2 * i + 1]], spec.limit, size);
      context.moveTo(x + 2, y);
      context.arc(x, y, 2, 0, 2 * Math.PI);
    }
    context.fill();
  }
  context.globalAlpha = 1;
}

/** The images that came along, in the places of their points. */
function drawImages(context, size, card, { at, spec, marked, cloud }) {
  const kept = spec.memory.names.map((_, k) => k * spec.every);
  const places = kept.map((i) => toCanvas([at[2 * i], at[2 * i + 1]], spec.limit, size));
  const colours = kept.map((i) => {
    const group = spec.members[i];
    return marked === null || marked === group ? shown(card, spec.groups[group].colour) : null;
  });
  cloud(context, places, colours, Math.max(18, size / 16));
}

/** The two points of the walk, A and B, and the line between them. */
function drawEnds(context, size, { ends, spec }, colours) {
  const places = ends.map((end) => toCanvas(end, spec.limit, size));
  if (!places.length) return;
  context.strokeStyle = colours.second;
  context.lineWidth = 1.5;
  context.beginPath();
  for (const place of places) context.lineTo(...place);
  context.stroke();
  context.textAlign = "center";
  for (const [i, [x, y]] of places.entries()) {
    context.fillStyle = colours.second;
    context.beginPath();
    context.arc(x, y, 8, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = colours.plot;
    context.fillText("AB"[i], x, y + 4);
  }
  context.textAlign = "left";
}

function drawHandle(context, [x, y], colours) {
  for (const [colour, width] of [
    [colours.plot, 6],
    [colours.accent, 3],
  ]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** A chip for each group of points; pressing one shows that group alone. */
export function legend(card, points, plane, what = "class") {
  const { groups } = points.spec;
  if (groups.length < 2) return [];
  const chips = groups.map(({ name, colour }, group) => {
    const dot = make("span", { class: "vae-dot", "aria-hidden": "true" });
    const paint = () => {
      dot.style.background = shown(card, colour);
    };
    card.onTheme(paint);
    paint();
    const press = () => {
      points.marked = points.marked === group ? null : group;
      for (const [i, chip] of chips.entries()) chip.setAttribute("aria-pressed", String(points.marked === i));
      plane.redraw();
    };
    return make("button", { type: "button", class: "vae-chip", "aria-pressed": "false", onclick: press }, dot, name);
  });
  return [make("div", { class: "vae-legend", role: "group", "aria-label": `Show one ${what} alone` }, ...chips)];
}

function actions(card, model, go, points, plane) {
  const press = () => {
    points.asImages = !points.asImages;
    swap.setAttribute("aria-pressed", String(points.asImages));
    plane.redraw();
  };
  const swap = button("Images for dots", press, { "aria-pressed": "false" });
  return make("div", { class: "vae-actions" }, swap, ...glides(card, model, go));
}

/** Buttons that move z: to a draw from the prior, and to the origin. */
export function glides(card, model, go) {
  const draw = normals(Date.now());
  const glide = (target) => {
    const start = model.get("z");
    animate(card, 500, (t) => go(start.map((value, j) => value + t * (target[j] - value))));
  };
  return [button("Draw z from the prior", () => glide([draw(), draw()])), button("Origin", () => glide([0, 0]))];
}
