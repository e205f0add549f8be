// Two free points of the plane, A and B, and a walk from one to the other.

import { animate, button, make, number, paintOn, sizeOf, slider } from "./interface.mjs";
import { between } from "./sliders.mjs";

export const STOPS = 9; // pictures along the way

/** The points `ends` start at `start`; decode(z) gives a picture; changed() is told of new points. */
export function makeWalk(card, { shape, start, decode, here, go, changed }) {
  const [height, width] = shape;
  const ends = start.map((end) => [...end]);
  const strip = make("canvas", { width: STOPS * (width + 1) - 1, height, role: "img", class: "vae-sheet vae-strip" });
  const context = strip.getContext("2d");
  const paint = () => {
    for (let i = 0; i < STOPS; i++) {
      paintOn(context, decode(between(ends[0], ends[1], i / (STOPS - 1))), shape, i * (width + 1), 0);
    }
    const [a, b] = ends.map((end) => `(${end.map((value) => number(value)).join(", ")})`);
    strip.setAttribute("aria-label", `${STOPS} pictures on the straight line from A ${a} to B ${b}`);
  };
  const place = (t) => go(between(ends[0], ends[1], t));
  const along = slider({ label: "A to B", min: 0, max: 1, step: 0.01, value: 0, act: place, text: number });
  const put = (end) => () => {
    ends[end] = [...here()];
    along.set(end);
    paint();
    changed();
    card.say(`${"AB"[end]} is at ${ends[end].map((value) => number(value)).join(", ")}`);
  };
  const walk = () =>
    animate(card, 2500, (t) => {
      along.set(t);
      place(t);
    });
  const reset = () => {
    for (const end of [0, 1]) ends[end] = [...start[end]];
    along.set(0);
    paint();
    changed();
  };
  const buttons = [button("A is here", put(0)), button("B is here", put(1)), button("Walk", walk)];
  const row = make("div", { class: "vae-actions" }, ...buttons);
  const top = make("div", { class: "vae-legs" }, row, along.row);
  const size = sizeOf([width * STOPS, 1]) / height;
  const panel = make("div", { class: "vae-side vae-wide", role: "group", "aria-label": "Walk between two points" });
  strip.style.aspectRatio = `${size}`;
  panel.append(top, strip);
  paint();
  return { panel, ends, reset };
}
