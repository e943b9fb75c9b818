// The conversations beside the questions: which turns an attribute rests on, and how to get there.

const LONG = 20_000; // characters that a turn may have to be opened whole on the way
const narrow = window.matchMedia("(max-width: 860px)");
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

export class Evidence {
  #place = -1;
  #item;

  constructor(context) {
    this.pane = context.querySelector(".scroller");
    this.drawer = document.getElementById("drawer"); // only where there are conversations
    for (const button of context.querySelectorAll("[data-all]")) {
      button.addEventListener("click", () => {
        for (const chat of context.querySelectorAll(".chat")) {
          chat.open = button.dataset.all === "open";
        }
      });
    }
    this.drawer?.addEventListener("change", () => {
      if (!this.drawer.checked && location.hash.startsWith("#c")) {
        history.replaceState(null, "", location.pathname + location.search);
      }
    });
  }

  /** Mark the turns that an item rests on, and where asked bring the first of them into view. */
  mark(item, follow) {
    this.#item = item;
    this.#place = -1;
    for (const marked of this.pane.querySelectorAll(".cited")) {
      marked.classList.remove("cited");
    }
    const counts = new Map();
    for (const turn of this.#turns(item)) {
      turn.classList.add("cited");
      const chat = turn.closest(".chat");
      counts.set(chat, (counts.get(chat) ?? 0) + 1);
    }
    for (const chat of this.pane.querySelectorAll(".chat")) {
      const count = counts.get(chat);
      chat.querySelector(".cites").textContent = count ? `${count} evidence turn${count > 1 ? "s" : ""}` : "";
    }
    const [first] = this.#turns(item);
    if (follow && first && !narrow.matches) {
      this.#reveal(first, "nearest");
    }
  }

  /** Show or hide that the pointer or the focus is on a link to a turn. */
  point(link, on) {
    document.getElementById(target(link))?.classList.toggle("pointed", on);
  }

  /** Go to the turn of a link: open what it is folded into, on a phone the drawer, and focus it. */
  jump(link) {
    const turn = document.getElementById(target(link));
    if (!turn) {
      return;
    }
    this.#place = this.#item?.links.indexOf(link) ?? -1;
    if (this.drawer && narrow.matches) {
      this.drawer.checked = true;
      this.#item?.element.scrollIntoView({ block: "start" }); // what is judged, above the drawer
    }
    const rest = turn.querySelector(".rest");
    if (rest && turn.textContent.length < LONG) {
      rest.open = true;
    }
    this.#reveal(turn, "center");
    turn.focus({ preventScroll: true });
    turn.classList.add("pointed");
    turn.addEventListener("blur", () => turn.classList.remove("pointed"), { once: true });
  }

  /** Go to the next turn of the current item's evidence, round and round. */
  next() {
    const links = this.#item?.links ?? [];
    if (links.length) {
      this.jump(links[(this.#place + 1) % links.length]);
    }
  }

  /** Put the drawer away; return whether it was open. */
  close() {
    const open = Boolean(this.drawer?.checked);
    if (open) {
      this.drawer.checked = false;
    }
    return open;
  }

  #turns(item) {
    return item.links.map((link) => document.getElementById(target(link))).filter(Boolean);
  }

  #reveal(turn, block) {
    const chat = turn.closest(".chat");
    const folded = chat && !chat.open;
    if (folded) {
      chat.open = true;
    }
    const box = this.pane.getBoundingClientRect();
    const place = turn.getBoundingClientRect();
    const inView = place.top >= box.top + 8 && place.bottom <= box.bottom - 8;
    if (block === "nearest" && inView && !folded) {
      return;
    }
    // The pane alone scrolls: the question that somebody reads stays where it is.
    const room = Math.max(24, (box.height - place.height) / 3);
    this.pane.scrollTo({
      top: this.pane.scrollTop + place.top - box.top - room,
      behavior: still.matches || block === "nearest" ? "auto" : "smooth",
    });
  }
}

function target(link) {
  return link.getAttribute("href").slice(1);
}
