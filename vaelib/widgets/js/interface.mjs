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
 * Puts an explorer into the page: its title at once, the rest by `build(card)` once it comes near the screen.
 *
 * The card has `root`, `colours()`, `say(text)` for screen readers, `onTheme(redraw)`, and `cleanups`, which run at
 * the end.
 */
export function mount({ model, el }, build) {
  const { title, help } = model.get("spec");
  const status = make("p", { class: "vae-status", role: "status" });
  const body = make("div", { class: "vae-body" });
  const root = make("section", { class: "vae", "aria-label": title });
  root.append(make("p", { class: "vae-title" }, title), make("p", { class: "vae-help" }, help), body, status);
  el.append(root);
  const card = { root, body, cleanups: [], colours: () => themeColours(root) };
  card.say = delayed((text) => {
    status.textContent = text;
  }, 600);
  card.onTheme = (redraw) => card.cleanups.push(watchTheme(redraw));
  const observer = new IntersectionObserver(
    ([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      build(card);
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

/** Calls step(0..1) on every frame for a while, or step(1) at once where the reader wants no motion. */
export function animate(card, milliseconds, step) {
  let frame = 0;
  const start = performance.now();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const run = (now) => {
    const t = still ? 1 : Math.min(1, Math.max(0, now - start) / milliseconds);
    step(t);
    if (t < 1) frame = requestAnimationFrame(run);
  };
  frame = requestAnimationFrame(run);
  const stop = () => cancelAnimationFrame(frame);
  card.cleanups.push(stop);
  return stop;
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
  input.addEventListener("input", () => {
    show(input.valueAsNumber);
    act(input.valueAsNumber);
  });
  set(value);
  const row = make("label", { class: "vae-slider" }, make("span", {}, label), input, output);
  return { row, input, set };
}

/** A canvas for one grey image of a shape (height, width), pixels in [0, 1], shown without smoothing. */
export function picture([height, width], label, attributes = {}) {
  const canvas = make("canvas", {
    width,
    height,
    role: "img",
    "aria-label": label,
    class: "vae-picture",
    ...attributes,
  });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const paint = (pixels) => {
    for (let i = 0; i < width * height; i++) {
      image.data.fill(255 * pixels[i], 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  return { canvas, paint };
}

/** A picture above its caption. */
export function captioned(canvas, caption) {
  return make("div", { class: "vae-figure" }, canvas, make("div", { class: "vae-note" }, caption));
}

/** A canvas as wide as its place and `ratio` times as high; paint(context, width, height) draws in CSS pixels. */
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
  return { canvas, redraw };
}

/** A row of small pictures to choose from; choose(i) is called with the one that is pressed. */
export function thumbnails({ shape, images, label, names, choose }) {
  const buttons = images.map((pixels, i) => {
    const { canvas, paint } = picture(shape, "", { "aria-hidden": "true" });
    paint(pixels);
    return make("button", { type: "button", "aria-label": names[i], onclick: () => choose(i) }, canvas);
  });
  const mark = (chosen) => {
    for (const [i, item] of buttons.entries()) item.setAttribute("aria-pressed", String(i === chosen));
  };
  mark(-1);
  return { row: make("div", { class: "vae-thumbs", role: "group", "aria-label": label }, ...buttons), mark };
}

/** Images of `size` pixels each, in [0, 1], from the bytes of a trait. */
export function readImages(view, size) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const count = Math.floor(bytes.length / size);
  return Array.from({ length: count }, (_, i) =>
    Float32Array.from(bytes.subarray(i * size, (i + 1) * size), (b) => b / 255),
  );
}

/** A number with a true minus sign. */
export const number = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
