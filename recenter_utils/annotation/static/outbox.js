// Answers on their way to the server. Each click is put here and stays until the server says that it has it.
//
// What waits is also kept in localStorage, under the annotator's own address, so that it outlives the tab. All tabs of an
// annotator share it; of two clicks on one thing the newer replaces the older.

const TIMEOUT = 15_000; // milliseconds before an answer on its way counts as failed
const FIRST_WAIT = 500; // milliseconds before the second try; doubles up to
const LONGEST_WAIT = 10_000;
const AGAIN = new Set([408, 425, 429]); // refusals that are about the moment and not about the answer

export class Outbox extends EventTarget {
  #kept = {};
  #name;
  #storage = true; // until it fails; then the tab alone remembers
  #running = false;
  #wait = 0;
  #wake = () => {};

  /** @param {string} name what one annotator's browser tabs have in common */
  constructor(name) {
    super();
    this.#name = `recenter:${name}`;
    window.addEventListener("storage", (event) => {
      if (event.key === this.#name) {
        this.#tell("change");
      }
    });
  }

  /** What is not saved yet, oldest first: {url, kind, value, stamp, id, at}. */
  get waiting() {
    return Object.values(this.#read()).sort((one, other) => one.at - other.at);
  }

  /** The value that waits for this item and kind, or undefined. */
  waits(url, kind) {
    return this.#read()[`${kind} ${url}`]?.value;
  }

  /** Milliseconds until the next try; 0 while the server answers. */
  get wait() {
    return this.#wait;
  }

  put(url, kind, value, stamp) {
    const at = performance.timeOrigin + performance.now();
    const id = `${at}.${Math.random()}`;
    this.#write((kept) => (kept[`${kind} ${url}`] = { url, kind, value, stamp, id, at }));
    this.#tell("change");
    this.send();
  }

  /** Send what waits, now. */
  async send() {
    this.#wake();
    if (this.#running) {
      return;
    }
    this.#running = true;
    try {
      for (let next = this.waiting[0]; next; next = this.waiting[0]) {
        const taken = await this.#alone(() => this.#try(next));
        if (taken) {
          this.#wait = 0;
        } else {
          this.#wait = Math.min(Math.max(2 * this.#wait, FIRST_WAIT), LONGEST_WAIT);
          this.#tell("away", { wait: this.#wait });
          await this.#sleep(this.#wait * (0.8 + 0.4 * Math.random()));
        }
      }
    } finally {
      this.#running = false;
    }
    this.#tell("change");
  }

  // One tab at a time, and only while it sends: a tab that sleeps in the background must not hold up the others.
  #alone(work) {
    return navigator.locks ? navigator.locks.request(this.#name, work) : work();
  }

  async #try(given) {
    const key = `${given.kind} ${given.url}`;
    const entry = this.#read()[key]; // another tab may have sent or replaced it meanwhile
    if (!entry) {
      return true;
    }
    let reply;
    let said;
    try {
      reply = await fetch(entry.url, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams({ kind: entry.kind, value: entry.value, stamp: entry.stamp }),
        keepalive: true,
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      said = await reply.json();
    } catch {
      if (!reply || reply.ok || reply.status >= 500) {
        return false; // not reached, or cut off, or something between us and the server spoke
      }
    }
    if (reply.status >= 500 || AGAIN.has(reply.status)) {
      return false;
    }
    this.#write((kept) => {
      if (kept[key]?.id === entry.id) {
        delete kept[key];
      }
    });
    if (reply.ok) {
      this.#tell("saved", { entry, reply: said });
    } else {
      this.#tell("refused", { entry, sentence: said?.error ?? "The server refused it.", reload: said?.reload ?? true });
    }
    return true;
  }

  #sleep(time) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #read() {
    if (this.#storage) {
      try {
        return JSON.parse(localStorage.getItem(this.#name) ?? "{}");
      } catch {
        this.#storage = false;
      }
    }
    return this.#kept;
  }

  #write(change) {
    const kept = this.#read();
    change(kept);
    this.#kept = kept;
    if (this.#storage) {
      try {
        localStorage.setItem(this.#name, JSON.stringify(kept));
        if (!Object.keys(kept).length) {
          localStorage.removeItem(this.#name);
        }
      } catch {
        this.#storage = false;
      }
    }
  }

  #tell(what, detail = {}) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}
