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
