// What a reader can take along from a card: its numbers, a link that leads back to them, its picture; and the way back.

import { button, follow, make } from "./interface.mjs";

/** "0.5,-1" for [0.5, -1] or "3" for 3, short enough for an address; and back: null where it is no such thing. */
export const written = (value) =>
  [value]
    .flat()
    .map((part) => Number(part.toFixed(3)))
    .join(",");
export function read(text, like) {
  const parts = text.split(",").map((part) => (part.trim() ? Number(part) : Number.NaN));
  if (!parts.every(Number.isFinite)) return null;
  if (!Array.isArray(like)) return parts.length === 1 && Number.isInteger(parts[0]) && parts[0] >= 0 ? parts[0] : null;
  return parts.length === like.length ? parts : null;
}

/** The name of a card in its page's address: its kind, and from the second of a kind on its number. */
function nameOf(card) {
  const own = card.root.closest(".vae-place")?.querySelector(".vae-still");
  if (!own) return null; // in JupyterLab the address is not ours
  const { kind } = card.root.dataset;
  const number = [...document.querySelectorAll(`.vae-still[data-kind="${kind}"]`)].indexOf(own) + 1;
  return number > 1 ? `${kind}${number}` : kind;
}

/** The page's address with `text` as the state of the card `name`, or without any. */
export function addressed(href, name, text) {
  const address = new URL(href);
  const others = [...new URLSearchParams(address.search)].filter(([key]) => key !== name);
  const pairs = text === null ? others : [...others, [name, text]];
  address.search = pairs.map(([key, value]) => `${encodeURIComponent(key)}=${value}`).join("&");
  return address.href;
}

/** All that a card shows, where one trait holds it: a number, or a list of numbers, none larger than `limit`. */
export function stateOf(model, trait, limit) {
  const first = model.get(trait);
  const set = (value) => {
    model.set(trait, value);
    model.save_changes();
  };
  const restore = (text) => {
    const value = read(text, first);
    if (value !== null && [value].flat().every((part) => Math.abs(part) <= limit)) set(value);
  };
  return { traits: [trait], text: () => written(model.get(trait)), restore, reset: () => set(first) };
}

/**
 * A row of buttons for a card's state: a copy of its numbers, a link, a picture as a file, and a reset. The page's address
 * holds the state, so that a reload and a link bring it back.
 *
 * A state has the `traits` that change with it, text() for an address (null: there is none), restore(text), which leaves
 * alone what no control could reach, and, unless the card has a button of its own, reset(). `copy` is a symbol and the
 * state of the numbers that it stands for; `canvas` makes the picture.
 */
export function tools(card, model, { state, copy, canvas }) {
  const name = nameOf(card);
  const first = state.text();
  if (name !== null) {
    const stored = new URLSearchParams(location.search).get(name);
    if (stored !== null) state.restore(stored);
    let timer;
    for (const trait of state.traits) {
      follow(card, model, trait, () => {
        clearTimeout(timer);
        timer = setTimeout(() => remember(name, state.text(), first), 300);
      });
    }
  }
  const file = () => `${[name ?? card.root.dataset.kind, state.text()?.slice(0, 40)].filter(Boolean).join("-")}.png`;
  const parts = [];
  if (copy) parts.push(copier(card, `Copy ${copy[0]}`, () => `[${copy[1].text().replaceAll(",", ", ")}]`));
  if (name !== null) parts.push(copier(card, "Copy link", () => linkTo(card, name, state.text())));
  parts.push(button("Save picture", () => save(canvas(), file())));
  if (state.reset) parts.push(button("Reset", state.reset));
  return make("div", { class: "vae-actions vae-tools", role: "group", "aria-label": "Take along" }, ...parts);
}

/** To the section in which the card stands, with its state. */
function linkTo(card, name, text) {
  const address = new URL(addressed(location.href, name, text));
  address.hash = card.root.closest("section[id]")?.id ?? "";
  return address.href;
}

function remember(name, text, first) {
  try {
    history.replaceState(history.state, "", addressed(location.href, name, text === first ? null : text));
  } catch {
    // a browser may forbid it on a page that was opened as a file, or when asked too often
  }
}

/** A button that says that it has copied; where a page may not, it shows the text to be copied by hand. */
function copier(card, label, text) {
  const one = button(label, async () => {
    try {
      await navigator.clipboard.writeText(text());
      one.textContent = "Copied";
      card.say(`${label}: copied`);
      setTimeout(() => {
        one.textContent = label;
      }, 1500);
    } catch {
      window.prompt(`${label}:`, text());
    }
  });
  return one;
}

/** The picture, each pixel enlarged to a square, as a PNG of some 500 pixels. */
function save(canvas, file) {
  const zoom = Math.max(1, Math.floor(512 / Math.max(canvas.width, canvas.height)));
  const large = make("canvas", { width: zoom * canvas.width, height: zoom * canvas.height });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  make("a", { href: large.toDataURL("image/png"), download: file }).click();
}
