// Whatever is wide enough to scroll sideways can be reached, and so scrolled, by keyboard.
const WIDE = "mjx-container[display], div.math, table.dataframe, .pst-scrollable-table-container, pre, .output";

function reach() {
  for (const wide of document.querySelectorAll(WIDE)) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
    else wide.removeAttribute("tabindex");
  }
}

addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
addEventListener("resize", reach);

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
