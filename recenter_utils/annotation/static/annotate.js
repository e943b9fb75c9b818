// One page of questions: wires items, outbox, evidence and keys together. The page works without any of this too.

import { Evidence } from "./evidence.js";
import { Item } from "./items.js";
import { listen } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Progress } from "./progress.js";
import { choice } from "./choices.js";

const page = document.getElementById("judging");
const config = page.dataset;
const outbox = new Outbox(config.base);
const items = [...page.querySelectorAll(".item")].map((element) => new Item(element, outbox, config.stamp));
const evidence = new Evidence(document.getElementById("context"));
const progress = new Progress(items);
const help = document.getElementById("help");
const onwards = choice("onwards");
const follow = choice("follow");
let current = null;
let leaving = null;

// Which question is at hand

function make(item, { focus = true, scroll = true } = {}) {
  if (item !== current) {
    current?.element.classList.remove("current");
    current = item;
    item.element.classList.add("current");
    evidence.mark(item, follow?.checked);
  }
  if (focus) {
    item.element.focus({ preventScroll: true });
  }
  if (scroll) {
    item.element.scrollIntoView({ block: "nearest" });
  }
}

function move(step) {
  const place = items.indexOf(current) + step;
  if (place >= 0 && place < items.length) {
    make(items[place]);
  } else if (step > 0) {
    progress.end.focus();
  }
}

function moveOn(answered) {
  const next = items[items.indexOf(answered) + 1] ?? items.find((item) => item.label === null);
  if (next) {
    make(next);
  } else {
    document.getElementById("onward").focus();
  }
}

function answer(item, label) {
  const first = item.label === null;
  item.answer(label);
  progress.count();
  return first;
}

for (const item of items) {
  item.element.addEventListener("focusin", () => make(item, { focus: false, scroll: false }));
  item.element.addEventListener("pointerdown", () => make(item, { focus: false, scroll: false }));
  for (const button of item.buttons) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      const first = answer(item, button.value);
      if (first && onwards.checked && item !== items.at(-1)) {
        moveOn(item);
      }
    });
  }
  item.flag.addEventListener("click", (event) => {
    event.preventDefault();
    item.toggleFlag();
  });
  item.note.form.addEventListener("submit", (event) => {
    event.preventDefault();
    item.keepNote();
  });
  item.drawer.addEventListener("toggle", () => {
    if (item.drawer.open && item.drawer.contains(document.activeElement)) {
      item.note.focus();
    }
  });
  for (const link of item.links) {
    link.addEventListener("pointerenter", () => evidence.point(link, true));
    link.addEventListener("pointerleave", () => evidence.point(link, false));
    link.addEventListener("focus", () => evidence.point(link, true));
    link.addEventListener("blur", () => evidence.point(link, false));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      make(item, { focus: false, scroll: false });
      evidence.jump(link);
    });
  }
}

// Saving

const byUrl = new Map(items.map((item) => [item.url, item]));

outbox.addEventListener("change", () => progress.waiting(outbox.waiting, outbox.wait));
outbox.addEventListener("away", () => {
  for (const entry of outbox.waiting) {
    byUrl.get(entry.url)?.tell("waiting");
  }
  progress.waiting(outbox.waiting, outbox.wait);
});
outbox.addEventListener("saved", ({ detail: { entry, reply } }) => {
  const item = byUrl.get(entry.url);
  item?.confirm(entry.kind, entry.value);
  progress.saved(reply, Boolean(item));
  progress.waiting(outbox.waiting, outbox.wait);
  leave();
});
outbox.addEventListener("refused", ({ detail: { entry, sentence, reload } }) => {
  byUrl.get(entry.url)?.tell("refused", sentence);
  progress.refused(sentence, reload);
  leaving = null;
});
document.getElementById("unsaved-retry").addEventListener("click", () => outbox.send());
document.getElementById("unsaved-reload").addEventListener("click", () => location.reload());
window.addEventListener("online", () => outbox.send());
window.addEventListener("beforeunload", (event) => {
  items.forEach((item) => item.keepNote());
  if (outbox.waiting.length) {
    event.preventDefault();
  }
});

// Leaving waits until all is saved; it is never refused for long, since the answers outlive the page.

function go(url) {
  items.forEach((item) => item.keepNote());
  if (outbox.waiting.length) {
    leaving = url;
    progress.leaving();
    outbox.send();
  } else {
    location.href = url;
  }
}

function leave() {
  if (leaving && !outbox.waiting.length) {
    location.href = leaving;
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (link && plain && !event.defaultPrevented && !link.getAttribute("href").startsWith("#")) {
    event.preventDefault();
    go(link.href);
  }
});

// What another tab answered

async function refresh() {
  outbox.send();
  try {
    const reply = await fetch(config.answers, { headers: { Accept: "application/json" }, redirect: "error" });
    const answers = await reply.json();
    if (reply.ok) {
      items.forEach((item, place) => item.refresh(answers[place]));
      progress.count();
    } else if (reply.status < 500) {
      progress.refused(answers.error, answers.reload ?? true);
    }
  } catch {
    // The server is away; what is clicked waits in the outbox, which says so.
  }
}

window.addEventListener("focus", refresh);
window.addEventListener("pageshow", (event) => event.persisted && refresh());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") {
    refresh();
  } else {
    items.forEach((item) => item.keepNote());
  }
});

// Keys

const visit = (selector) => () => {
  const link = document.querySelector(selector);
  if (link) {
    go(link.href);
  }
};
const actions = {
  j: () => move(1),
  ArrowDown: () => move(1),
  k: () => move(-1),
  ArrowUp: () => move(-1),
  ArrowRight: visit("a[rel=next]"),
  ArrowLeft: visit("a[rel=prev]"),
  n: visit("a[rel=next]"),
  p: visit("a[rel=prev]"),
  o: visit("#onward"),
  u: () => current?.toggleFlag(),
  m: () => current?.openNote(),
  e: () => evidence.next(),
  "?": () => help.showModal(),
};
items[0].buttons.forEach((button, place) => {
  const choose = () => {
    const item = current;
    answer(item, item.buttons[place].value);
    if (onwards.checked) {
      moveOn(item);
    }
  };
  actions[String(place + 1)] = choose;
  if (config.task === "relevance") {
    actions[button.value[0]] = choose; // y and n
  }
});
listen(actions, () => {
  evidence.close();
  current?.element.focus({ preventScroll: true });
});
document.getElementById("help-button").addEventListener("click", () => help.showModal());

// Start where somebody left off.

document.documentElement.classList.add("alive");
const asked = items.find((item) => `#${item.element.id}` === location.hash);
const start = asked ?? items.find((item) => item.label === null) ?? items[0];
// A page that is new to them is read from its top.
make(start, { focus: !location.hash.startsWith("#c"), scroll: start !== items[0] });
progress.count();
progress.waiting(outbox.waiting, outbox.wait);
outbox.send();
