// The questions of a page as the annotator sees them: what is answered, flagged and noted, and whether it is saved.

const PAUSE = 800; // milliseconds without a key before a note is saved
const STATES = { saving: "saving…", saved: "saved", waiting: "not saved yet", refused: "not saved" };

export class Item {
  #outbox;
  #stamp;
  #timer;

  constructor(element, outbox, stamp) {
    this.element = element;
    this.url = element.dataset.url;
    this.buttons = [...element.querySelectorAll(".scale button")];
    this.flag = element.querySelector(".flag button");
    this.note = element.querySelector(".note textarea");
    this.drawer = element.querySelector(".note");
    this.state = element.querySelector(".state");
    this.links = [...element.querySelectorAll(".evidence a")];
    this.#outbox = outbox;
    this.#stamp = stamp;
    this.saved = { label: this.label, flagged: this.flagged, note: this.note.value };

    this.note.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.keepNote(), PAUSE);
      this.tell("saving");
    });
    this.note.addEventListener("blur", () => this.keepNote());
    for (const kind of ["label", "flag", "note"]) {
      this.show(kind, outbox.waits(this.url, kind)); // clicks from before a reload
    }
  }

  get label() {
    return this.buttons.find((button) => button.getAttribute("aria-pressed") === "true")?.value ?? null;
  }

  get flagged() {
    return this.flag.getAttribute("aria-pressed") === "true";
  }

  /** The attribute's words, for who hears the page. */
  get words() {
    return this.element.querySelector(".attribute bdi").textContent;
  }

  answer(label) {
    this.show("label", label);
    this.#put("label", label);
  }

  toggleFlag() {
    const value = this.flagged ? "no" : "yes";
    this.show("flag", value);
    this.#put("flag", value);
  }

  openNote() {
    this.drawer.open = true;
    this.note.focus();
  }

  /** Put the note on its way if it is not yet what was put before. */
  keepNote() {
    clearTimeout(this.#timer);
    const before = this.#outbox.waits(this.url, "note") ?? this.saved.note;
    if (this.note.value !== before) {
      this.#put("note", this.note.value);
    } else if (this.state.dataset.state === "saving" && !this.#waiting) {
      this.tell("saved");
    }
  }

  /** Show a value without sending it. */
  show(kind, value) {
    if (value === undefined) {
      return;
    }
    if (kind === "label") {
      for (const button of this.buttons) {
        button.setAttribute("aria-pressed", String(button.value === value));
      }
      this.element.classList.toggle("answered", value !== null);
    } else if (kind === "flag") {
      this.flag.setAttribute("aria-pressed", String(value === "yes"));
      this.flag.value = value === "yes" ? "no" : "yes";
    } else if (this.note.value !== value) {
      this.note.value = value;
      this.drawer.open ||= value !== "";
    }
  }

  /** Take over what the server has, except where something newer is on its way or being written. */
  refresh(answer) {
    if (this.#outbox.waits(this.url, "label") === undefined) {
      this.show("label", answer.label);
      this.saved.label = answer.label;
    }
    if (this.#outbox.waits(this.url, "flag") === undefined) {
      this.show("flag", answer.flagged ? "yes" : "no");
      this.saved.flagged = answer.flagged;
    }
    const note = answer.note ?? "";
    const untouched = this.note.value === this.saved.note && document.activeElement !== this.note;
    if (this.#outbox.waits(this.url, "note") === undefined && untouched) {
      this.show("note", note);
      this.saved.note = note;
    }
  }

  /** What the server confirmed. */
  confirm(kind, value) {
    if (kind === "note") {
      this.saved.note = value;
    } else if (kind === "flag") {
      this.saved.flagged = value === "yes";
    } else {
      this.saved.label = value;
    }
    if (!this.#waiting) {
      this.tell("saved");
    }
  }

  tell(state, sentence = "") {
    this.state.dataset.state = state;
    this.state.textContent = STATES[state];
    this.state.title = sentence;
  }

  get #waiting() {
    return ["label", "flag", "note"].some((kind) => this.#outbox.waits(this.url, kind) !== undefined);
  }

  #put(kind, value) {
    this.tell("saving");
    this.#outbox.put(this.url, kind, value, this.#stamp);
  }
}
