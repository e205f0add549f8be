// Whatever is wide enough to scroll sideways can be reached, and so scrolled, by keyboard.
const WIDE =
  "mjx-container[display], mjx-container.wide, div.math, table.dataframe, .pst-scrollable-table-container, pre, .output";
const LINE = "p, li, td, dd, figcaption";

// A formula in a line that is wider than the line has one for itself, to be scrolled.
function unroll() {
  const formulas = [...document.querySelectorAll(".bd-content mjx-container:not([display])")];
  for (const formula of formulas) formula.classList.remove("wide");
  const wide = formulas.filter((formula) => {
    const width = formula.closest(LINE)?.clientWidth;
    const whole = formula.closest("span.unbroken") ?? formula; // with its full stop
    return width && whole.getBoundingClientRect().width > width + 1;
  });
  for (const formula of wide) formula.classList.add("wide");
}

function reach() {
  unroll();
  for (const wide of document.querySelectorAll(WIDE)) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
    else wide.removeAttribute("tabindex");
  }
}

addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true); // what was folded away had no width

// What the search finds is quoted from the text of a page, without its buttons, contents and links to its neighbours.
const AROUND = ".bd-header-article, #jb-print-docs-body, .prev-next-footer, .bd-sidebar-secondary, mjx-container, nav";

// A formula in a line of plain text: its Greek letters, and of the other commands no more than their names.
const GREEK = "alpha α beta β gamma γ delta δ epsilon ϵ theta θ lambda λ mu μ nu ν pi π sigma σ tau τ phi φ psi ψ";
const SIGNS = Object.fromEntries(`${GREEK} mid | ge ≥ le ≤ sum Σ int ∫`.match(/\S+ \S+/g).map((one) => one.split(" ")));
const STYLES = /\\(mathrm|mathbb|mathcal|text|left|right|quad|qquad|[()[\],;!{}])|[{}]/g;

function plainly(formula) {
  return formula.replace(STYLES, "").replace(/\\([a-zA-Z]+)/g, (_, name) => SIGNS[name] ?? name);
}

// The search's own script is there by now, and searches as soon as the page has been read.
if (typeof Search !== "undefined") {
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const part of page.querySelectorAll(AROUND)) part.remove();
    for (const block of page.querySelectorAll("dt, dd, td, th, li, p, pre, h1, h2, h3")) block.append(" ");
    for (const formula of page.querySelectorAll(".math")) formula.textContent = plainly(formula.textContent);
    return plain(page.documentElement.outerHTML, anchor);
  };
  // A page is found once, though its title, its text and the index all have the words: of each title the best stays.
  const search = Search._performSearch;
  Search._performSearch = (...asked) => {
    const best = new Map(); // the best are the last
    for (const one of search(...asked)) {
      const name = `${one[0]} ${one[1]}`;
      best.delete(name);
      best.set(name, one);
    }
    return [...best.values()];
  };
}

// In the dark each figure shows its twin; on paper it is as it was made.
function suit(dark) {
  for (const figure of document.querySelectorAll("img[data-dark]")) {
    figure.dataset.light ??= figure.getAttribute("src");
    const wanted = dark ? figure.dataset.dark : figure.dataset.light;
    if (figure.getAttribute("src") !== wanted) figure.setAttribute("src", wanted);
  }
}

const isDark = () => document.documentElement.dataset.theme === "dark";
new MutationObserver(() => suit(isDark())).observe(document.documentElement, { attributeFilter: ["data-theme"] });
addEventListener("beforeprint", () => suit(false));
addEventListener("afterprint", () => suit(isDark()));
suit(isDark());

// The link that a page was opened by is aimed again when formulas and letters have taken their room, unless the reader
// has moved on meanwhile.
addEventListener("load", async () => {
  let moved = false;
  const note = () => {
    moved = true;
  };
  for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    addEventListener(kind, note, { once: true, passive: true });
  }
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && !moved) target.scrollIntoView();
});

// Where a link leads to something that is folded away, it opens; and on paper the reference is open.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const closed = [...document.querySelectorAll("details:not([open])")].filter((one) => one.contains(target));
  for (const part of closed) part.open = true;
  if (closed.length) target.scrollIntoView();
}

addEventListener("hashchange", unfold);
addEventListener("DOMContentLoaded", unfold);
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:has(dl.py)")) part.open = true;
});

// A link to a term or an equation shows what it leads to, while the pointer rests on it or the keyboard is there.
const SOON = 250; // milliseconds
let bubble = null; // what is shown now
let timer;

function show(link) {
  hide();
  bubble = document.createElement("div");
  bubble.className = "preview";
  bubble.id = "preview";
  bubble.setAttribute("role", "tooltip");
  bubble.textContent = link.dataset.preview;
  link.setAttribute("aria-describedby", bubble.id);
  bubble.addEventListener("pointerleave", later);
  bubble.addEventListener("pointerenter", () => clearTimeout(timer));
  document.body.append(bubble);
  const place = () => {
    const [at, size] = [link.getBoundingClientRect(), bubble.getBoundingClientRect()];
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - size.width - 8));
    const below = at.bottom + size.height + 12 < innerHeight;
    bubble.style.left = `${left + scrollX}px`;
    bubble.style.top = `${(below ? at.bottom + 4 : at.top - size.height - 4) + scrollY}px`;
  };
  place();
  window.MathJax?.typesetPromise?.([bubble]).then(() => bubble && place());
}

function hide() {
  clearTimeout(timer);
  bubble?.remove();
  bubble = null;
  for (const link of document.querySelectorAll("[aria-describedby=preview]")) link.removeAttribute("aria-describedby");
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(hide, SOON);
}

for (const link of document.querySelectorAll("a[data-preview]")) {
  link.addEventListener("pointerenter", ({ pointerType }) => {
    clearTimeout(timer);
    if (pointerType === "mouse") timer = setTimeout(() => show(link), SOON);
  });
  link.addEventListener("pointerleave", later);
  link.addEventListener("focus", () => link.matches(":focus-visible") && show(link));
  link.addEventListener("blur", hide);
}
addEventListener("keydown", ({ key }) => key === "Escape" && hide());

// A figure that a small screen shrinks can be enlarged: to the width that it was drawn for, to be scrolled and pinched.
const DRAWN = 1.44; // pixels of a figure for each pixel of a page
const FIGURES = ".bd-content figure img, .bd-content div.cell_output img:not(.vae-place img)";

function enlarge(figure) {
  const large = document.createElement("img");
  large.src = figure.currentSrc || figure.src;
  large.alt = figure.alt;
  large.style.width = `${figure.naturalWidth / DRAWN}px`;
  const dialog = document.createElement("dialog");
  dialog.className = "figure-large";
  dialog.setAttribute("aria-label", "Enlarged figure");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const view = document.createElement("div");
  view.tabIndex = 0;
  view.setAttribute("role", "region");
  view.setAttribute("aria-label", "The figure: scroll to see all of it");
  view.append(large);
  dialog.append(close, view);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function offer() {
  for (const figure of document.querySelectorAll(FIGURES)) {
    const shrunk = figure.clientWidth > 0 && figure.naturalWidth / DRAWN > 1.2 * figure.clientWidth;
    const there = figure.nextElementSibling?.matches(".figure-enlarge") ? figure.nextElementSibling : null;
    if (there) there.hidden = !shrunk;
    if (there || !shrunk) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "figure-enlarge";
    button.textContent = "Enlarge";
    button.setAttribute("aria-label", "Enlarge this figure");
    button.addEventListener("click", () => enlarge(figure));
    figure.addEventListener("click", () => !button.hidden && enlarge(figure));
    figure.after(button);
  }
}

addEventListener("load", offer);
addEventListener("resize", offer);
document.addEventListener("load", ({ target }) => target.matches?.(FIGURES) && offer(), true); // pictures that come late
