/* What a page does by itself: its policy lets no script run that stands in a page. */
"use strict";

// For MathJax, which is loaded after this where a page has formulae.
window.MathJax = {
  options: { enableMenu: false, processHtmlClass: "tex2jax_process|mathjax_process|math|output_area" },
};

(() => {
  // Libraries put styles into a page as text, which the policy refuses; it allows an empty style and rules added to it.
  for (const name of ["appendChild", "insertBefore"]) {
    const put = Node.prototype[name];
    Node.prototype[name] = function (node, ...before) {
      if (!(node instanceof HTMLStyleElement) || !node.textContent) return put.call(this, node, ...before);
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(node.textContent);
      node.textContent = "";
      put.call(this, node, ...before);
      for (const rule of sheet.cssRules) node.sheet?.insertRule(rule.cssText, node.sheet.cssRules.length);
      return node;
    };
  }

  const actions = { print: () => window.print(), "full-screen": () => window.toggleFullScreen() };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-does]");
    if (button && Object.hasOwn(actions, button.dataset.does)) actions[button.dataset.does]();
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const data of document.querySelectorAll('.plot > script[type="application/json"]')) {
      const { data: traces, layout, config } = JSON.parse(data.textContent);
      Plotly.newPlot(data.parentElement.appendChild(document.createElement("div")), traces, layout, config);
    }
  });
})();
