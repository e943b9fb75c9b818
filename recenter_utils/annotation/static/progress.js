// How far the work is and whether it is saved: the header, the list of pages, the foot of the page, the bar of what waits.

const $ = (id) => document.getElementById(id);

export class Progress {
  #items;
  #leaving = false;

  constructor(items) {
    this.#items = items;
    this.end = $("end");
    this.tiles = [...document.querySelectorAll(".tile")];
    this.here = document.querySelector(".tile[aria-current]");
  }

  /** Count this page anew from what is on it. */
  count() {
    const done = this.#items.filter((item) => item.label !== null).length;
    const before = Number(this.here?.dataset.done ?? done);
    this.#tile(done, this.#items.length);
    this.#all(Number($("overall-done").textContent) + done - before);
    this.#foot(done);
  }

  /** Take over what the server counted, if the answer was for this page. */
  saved(reply, here) {
    this.#all(reply.all.done, reply.all.total);
    if (here) {
      const shown = this.#items.filter((item) => item.label !== null).length;
      if (shown === reply.page.done) {
        this.#tile(reply.page.done, reply.page.total);
      } else {
        this.#all(reply.all.done + shown - reply.page.done); // more clicks are on their way
      }
    }
    this.#say("saved", "All saved");
  }

  /** Show how many answers are not saved yet; `wait` is 0 while the server answers. */
  waiting(entries, wait) {
    const bar = $("unsaved");
    if (!entries.length) {
      this.#leaving = false;
      if (bar.dataset.for === "waiting") {
        bar.hidden = true;
        this.#say("saved", "All saved");
      }
      return;
    }
    if (!wait) {
      this.#say("saving", "Saving…");
      return;
    }
    const count = entries.length === 1 ? "1 answer is" : `${entries.length} answers are`;
    const then = this.#leaving ? " The next page opens as soon as they are saved." : " You can go on meanwhile.";
    bar.hidden = false;
    bar.dataset.for = "waiting";
    $("unsaved-retry").hidden = false;
    $("unsaved-reload").hidden = true;
    this.#words(`${count} not saved yet: the server cannot be reached. Trying again.${then}`);
    this.#say("waiting", `${entries.length} not saved`);
  }

  /** Say that the server did not take an answer. */
  refused(sentence, reload) {
    $("unsaved").hidden = false;
    $("unsaved").dataset.for = "refused";
    $("unsaved-retry").hidden = true;
    $("unsaved-reload").hidden = !reload;
    this.#words(sentence);
    this.#say("refused", "Not saved");
  }

  leaving() {
    this.#leaving = true;
  }

  #words(text) {
    if ($("unsaved-words").textContent !== text) {
      $("unsaved-words").textContent = text; // an alert that says the same again is read out again
    }
  }

  #say(state, words) {
    const line = $("saving");
    line.dataset.state = state;
    if (line.textContent !== words) {
      line.textContent = words;
    }
  }

  #tile(done, total) {
    if (this.here) {
      this.here.dataset.done = done;
      this.here.querySelector(".count").textContent = `${done}/${total}`;
      this.here.classList.toggle("full", done === total);
    }
  }

  #all(done, total = Number($("overall-total").textContent)) {
    $("overall-done").textContent = done;
    $("overall-total").textContent = total;
    $("overall").max = total;
    $("overall").value = done;
  }

  #foot(done) {
    const open = this.#items.filter((item) => item.label === null);
    const words = $("end-words");
    words.textContent = open.length ? `${done} of ${this.#items.length} answered on this page. Open: ` : "All of this page is answered.";
    for (const item of open.slice(0, 12)) {
      const link = document.createElement("a");
      link.href = `#${item.element.id}`;
      link.textContent = this.#items.indexOf(item) + 1;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        item.element.focus();
      });
      words.append(link, " ");
    }
    if (open.length > 12) {
      words.append("…");
    }
  }
}
