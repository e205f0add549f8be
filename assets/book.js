// Whatever is wide enough to scroll sideways can be reached, and so scrolled, by keyboard.
function reach() {
  for (const wide of document.querySelectorAll("mjx-container[display], div.math, table.dataframe, pre, .output")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
    else wide.removeAttribute("tabindex");
  }
}

addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reach));
addEventListener("resize", reach);
