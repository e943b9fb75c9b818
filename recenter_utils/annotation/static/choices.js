// How somebody likes to work: two boxes in the help, remembered by the browser.

/** Return the box with that id, set as it was left, or null where the page has none. */
export function choice(id) {
  const box = document.getElementById(id);
  if (box) {
    try {
      box.checked = localStorage.getItem(`recenter-${id}`) !== "no";
      box.addEventListener("change", () => localStorage.setItem(`recenter-${id}`, box.checked ? "yes" : "no"));
    } catch {
      // no storage: as it is set now
    }
  }
  return box;
}
