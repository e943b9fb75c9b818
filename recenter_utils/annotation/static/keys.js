// The keyboard: one key, one thing to do. Nothing is taken from whoever writes, or holds Ctrl, Alt or Meta.

/**
 * Call what a key stands for.
 *
 * @param {Record<string, () => void>} actions by `KeyboardEvent.key`, letters in lower case
 * @param {() => void} escape what Esc does, also while somebody writes
 */
export function listen(actions, escape) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) {
      return;
    }
    if (event.key === "Escape") {
      escape();
      return;
    }
    const at = event.target;
    if (at.closest("textarea, input:not([type=checkbox]), select")) {
      return;
    }
    const scrolls = at.closest(["ArrowUp", "ArrowDown"].includes(event.key) ? ".scroller, .menu" : ".wide, pre");
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action && !(scrolls && event.key.startsWith("Arrow"))) {
      event.preventDefault();
      action();
    }
  });
}
