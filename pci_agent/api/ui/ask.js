// Asks before what can't be undone, and tells what became of it. Nothing is done until the reader says so.

import { h } from "./dom.js";

// Resolves to whether the reader agrees; Escape and Cancel don't.
export function agreed({ title, what, act }) {
  return new Promise((resolve) => {
    const close = (answer) => () => dialog.close(answer);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "asked", on: { close: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) } },
      h("h2", { id: "asked" }, title),
      h("p", null, what),
      h(
        "p",
        { class: "buttons" },
        h("button", { type: "button", autofocus: true, on: { click: close("no") } }, "Cancel"),
        h("button", { type: "button", class: "grave", on: { click: close("yes") } }, act),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Says in a word what was done, or why not, where it is read out too.
export function tell(message, { bad = false } = {}) {
  const place = document.getElementById("told");
  const away = h("button", { type: "button", class: "plain", on: { click: () => place.replaceChildren() } }, "Dismiss");
  place.replaceChildren(h("p", { class: bad ? "bad" : "good" }, message, " ", away));
}

export function untell() {
  document.getElementById("told").replaceChildren();
}

// Runs what a button does: not twice at once; a fault is told, and what is shown is read again.
export async function act(button, work, done, again) {
  if (button.working) return false;
  button.working = true;
  try {
    await work();
    tell(done);
    return true;
  } catch (fault) {
    tell(fault.message, { bad: true });
    return false;
  } finally {
    button.working = false;
    again();
  }
}
