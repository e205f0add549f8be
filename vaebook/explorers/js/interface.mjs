// What the explorers share: a card that wakes up when it is seen, controls, pictures and charts.

/** An element: make("button", { class: "vae-chip", onclick: act }, "Reset"). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/**
 * Puts an explorer into the page: its title at once, the rest by `build(card)`, which may be asynchronous, once it comes
 * near the screen. The style sheet keeps the height free that it will have then, from the numbers in the spec's `layout`.
 *
 * The card has `root`, `colours()`, `say(text)` for screen readers, `onTheme(redraw)`, and `cleanups`, which run at
 * the end.
 */
export function mount({ model, el }, build) {
  const { kind, title, help, layout } = model.get("spec");
  const status = make("p", { class: "vae-status", role: "status" });
  const body = make("div", { class: "vae-body" });
  const root = make("section", { class: "vae", "data-kind": kind, style: layout, "aria-label": title });
  root.append(make("p", { class: "vae-title" }, title), make("p", { class: "vae-help" }, help), body, status);
  el.append(root);
  const card = { root, body, cleanups: [], colours: () => themeColours(root) };
  card.say = delayed((text) => {
    status.textContent = status.textContent === text ? `${text}\u00a0` : text; // the same text again is news, too
  }, 600);
  card.onTheme = (redraw) => card.cleanups.push(watchTheme(redraw));
  const observer = new IntersectionObserver(
    async ([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      await build(card);
      root.dataset.ready = "true";
    },
    { rootMargin: "200px" },
  );
  observer.observe(root);
  return () => {
    observer.disconnect();
    for (const cleanup of card.cleanups) cleanup();
    root.remove();
  };
}

/** Listens to a trait for as long as the card lives. */
export function follow(card, model, trait, act) {
  model.on(`change:${trait}`, act);
  card.cleanups.push(() => model.off(`change:${trait}`, act));
}

/** Calls `act` at most once a frame, however often it is asked to; the card's data-frame says how many ms it took. */
export function eachFrame(card, act) {
  let asked = 0;
  const run = () => {
    asked = 0;
    const start = performance.now();
    act();
    card.root.dataset.frame = (performance.now() - start).toFixed(2);
  };
  card.cleanups.push(() => cancelAnimationFrame(asked));
  return () => {
    asked ||= requestAnimationFrame(run);
  };
}

/** Calls `act` once there has been silence for a while. */
function delayed(act, milliseconds) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
}

const INPUTS = ["pointerdown", "keydown", "input"];

/**
 * Calls step(0..1) on every frame for a while, or step(1) at once where the reader wants no motion. Whatever the reader
 * does in the card meanwhile stops it: the hand comes first.
 */
export function animate(card, milliseconds, step) {
  let frame = 0;
  const start = performance.now();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const stop = () => {
    cancelAnimationFrame(frame);
    for (const name of INPUTS) card.root.removeEventListener(name, stop, true);
  };
  const run = (now) => {
    const t = still ? 1 : Math.min(1, Math.max(0, now - start) / milliseconds);
    step(t);
    if (t < 1) frame = requestAnimationFrame(run);
    else stop();
  };
  for (const name of INPUTS) card.root.addEventListener(name, stop, true);
  frame = requestAnimationFrame(run);
  card.cleanups.push(stop);
}

/** The colours that the style sheet gives the card now. */
function themeColours(root) {
  const style = getComputedStyle(root);
  const names = ["ground", "ink", "soft", "line", "accent", "second", "plot"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--vae-${name}`).trim()]));
}

function watchTheme(redraw) {
  const observer = new MutationObserver(redraw);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  return () => observer.disconnect();
}

export const isDark = (card) => getComputedStyle(card.root).getPropertyValue("--vae-dark").trim() === "1";

/** A colour of the book that can be told from the card's ground: in the dark, mixed with white. */
export function shown(card, colour) {
  if (!isDark(card)) return colour;
  const parts = [1, 3, 5].map((i) => Number.parseInt(colour.slice(i, i + 2), 16));
  return `rgb(${parts.map((part) => Math.round(part + 0.42 * (255 - part))).join(" ")})`;
}

export function button(label, act, attributes = {}) {
  return make("button", { type: "button", class: "vae-button", onclick: act, ...attributes }, label);
}

/**
 * A button that calls `tick` again and again, until it returns false, the button is pressed again, or pause() is called.
 * `start` is called first, and `paused` at the end of each run.
 */
export function clock(card, label, milliseconds, { start, tick, paused }) {
  let timer;
  const pause = () => {
    clearInterval(timer);
    timer = undefined;
    toggle.textContent = label;
    paused();
  };
  const toggle = button(label, () => {
    if (timer) return pause();
    start();
    timer = setInterval(() => tick() || pause(), milliseconds);
    toggle.textContent = "Pause";
  });
  card.cleanups.push(() => clearInterval(timer));
  return { toggle, pause };
}

/** A labelled range: its element is `row`; set(value) shows a value without calling `act`. */
export function slider({ label, min, max, step, value, act, text = (v) => v.toFixed(2) }) {
  const output = make("span", { class: "vae-value", "aria-hidden": "true" });
  const input = make("input", { type: "range", min, max, step, "aria-label": label });
  const show = (v) => {
    output.textContent = text(v).replace("-", "−");
    input.setAttribute("aria-valuetext", text(v));
  };
  const set = (v) => {
    input.value = v;
    show(v);
  };
  const take = () => {
    show(input.valueAsNumber);
    act(input.valueAsNumber);
  };
  patiently(input, take);
  set(value);
  const row = make("label", { class: "vae-slider" }, make("span", {}, label), input, output);
  return { row, input, set };
}

/** So many pixels to the side, and a finger drags: until then it may want to scroll the page. */
export const SIDEWAYS = 6;

/** Calls `take` at each input, but that of a finger only once it does not scroll the page: then the old value returns. */
function patiently(input, take) {
  let waiting = null; // where a finger was put down, and the value that it found
  const decided = () => {
    if (waiting === null) return;
    waiting = null;
    take();
  };
  input.addEventListener("pointerdown", ({ pointerType, clientX }) => {
    waiting = pointerType === "touch" ? { x: clientX, value: input.value } : null;
  });
  input.addEventListener("pointermove", ({ clientX }) => {
    if (waiting !== null && Math.abs(clientX - waiting.x) >= SIDEWAYS) decided();
  });
  input.addEventListener("pointerup", decided);
  input.addEventListener("pointercancel", () => {
    if (waiting !== null) input.value = waiting.value;
    waiting = null;
  });
  input.addEventListener("input", () => {
    if (waiting === null) take();
  });
}

/** The number of values of an image of a shape: (height, width), or (height, width, 3) in colour. */
export const sizeOf = (shape) => shape.reduce((a, b) => a * b);

/** Puts an image in [0, 1], `channels` values for each pixel, onto a canvas with its upper left corner at (x, y). */
export function paintOn(context, pixels, [height, width, channels = 1], x = 0, y = 0) {
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * pixels[channels * i + (c % channels)];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, x, y);
}

/** A canvas for one image of a shape, shown without smoothing; describe(text) says what it shows now. */
export function picture(shape, label, { size, ...attributes } = {}) {
  const [height, width] = shape;
  const style = `--vae-aspect: ${width / height}${size ? `; --vae-size: ${size}` : ""}`;
  const canvas = make("canvas", { width, height, role: "img", class: "vae-picture", style, ...attributes });
  const describe = (text) => canvas.setAttribute("aria-label", text ? `${label}: ${text}` : label);
  describe("");
  const context = canvas.getContext("2d");
  return { canvas, paint: (pixels) => paintOn(context, pixels, shape), describe };
}

/** A picture above its caption. */
export function captioned(canvas, caption) {
  return make("div", { class: "vae-figure" }, canvas, make("div", { class: "vae-note" }, caption));
}

/**
 * A canvas as wide as its place and `ratio` times as high; paint(context, width, height) draws in CSS pixels, and
 * describe(text) says which values it shows.
 */
export function chart(card, { label, ratio, paint, attributes = {} }) {
  const canvas = make("canvas", { role: "img", "aria-label": label, class: "vae-chart", ...attributes });
  canvas.style.aspectRatio = `1 / ${ratio}`;
  const context = canvas.getContext("2d");
  const redraw = () => {
    const width = canvas.clientWidth;
    if (!width) return;
    const height = width * ratio;
    const zoom = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * zoom), Math.round(height * zoom)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    context.setTransform(zoom, 0, 0, zoom, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `12px ${getComputedStyle(card.root).fontFamily}`;
    paint(context, width, height, card.colours());
  };
  const observer = new ResizeObserver(redraw);
  observer.observe(canvas);
  card.cleanups.push(() => observer.disconnect());
  card.onTheme(redraw);
  return { canvas, redraw, describe: (text) => canvas.setAttribute("aria-label", `${label}: ${text}`) };
}

/** Numbers with their names, one below the other: show(texts) sets them. */
export function terms(names) {
  const values = names.map(() => make("span"));
  const rows = names.map((name, i) => make("div", {}, make("span", { class: "vae-note" }, name), values[i]));
  const show = (texts) => {
    for (const [i, text] of texts.entries()) values[i].textContent = text;
  };
  return { row: make("div", { class: "vae-terms" }, ...rows), show };
}

const TURNS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** Small pictures, one stop for the Tab key, to choose one from with arrows or a press: calls choose(i). */
export function thumbnails({ shape, images, label, names, choose }) {
  const options = images.map((pixels, i) => {
    const { canvas, paint } = picture(shape, "", { "aria-hidden": "true" });
    paint(pixels);
    return make("button", { type: "button", role: "radio", "aria-label": names[i], onclick: () => choose(i) }, canvas);
  });
  const mark = (chosen) => {
    for (const [i, option] of options.entries()) {
      option.setAttribute("aria-checked", String(i === chosen));
      option.tabIndex = i === Math.max(0, chosen) ? 0 : -1;
    }
  };
  const turn = (event) => {
    const step = TURNS[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (options.indexOf(event.target) + step + options.length) % options.length;
    options[next].focus();
    choose(next);
  };
  mark(-1);
  const row = make(
    "div",
    { class: "vae-thumbs", role: "radiogroup", "aria-label": label, onkeydown: turn },
    ...options,
  );
  return { row, mark };
}

/** Images of a shape, values in [0, 1], from the bytes of a trait. */
export function readImages(view, shape) {
  const size = sizeOf(shape);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const count = Math.floor(bytes.length / size);
  return Array.from({ length: count }, (_, i) =>
    Float32Array.from(bytes.subarray(i * size, (i + 1) * size), (b) => b / 255),
  );
}

/** The index of the image that differs least from `pixels`, by squared error. */
export function closest(pixels, images) {
  const error = (image) => image.reduce((sum, pixel, i) => sum + (pixel - pixels[i]) ** 2, 0);
  return images.reduce((best, image, i) => (error(image) < error(images[best]) ? i : best), 0);
}

/** A number with a true minus sign. */
export const number = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/** z with a subscript: z₁₂. Latents are counted from 1, as in the text. */
export const latentName = (j) => `z${[...String(j + 1)].map((digit) => SUBSCRIPTS[digit]).join("")}`;

/** The first few of many, in words. */
export const few = (texts, most = 5) =>
  texts.slice(0, most).join(", ") + (texts.length > most ? ` and ${texts.length - most} more` : "");
