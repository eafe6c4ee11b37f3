// Makes what is shown equal to a newer drawing, and changes nothing else: so what has the focus keeps it, what is open
// stays open, what somebody is typing stays, and nothing moves on the screen.

// What belongs to the reader, not to the drawing.
const READERS = new Set(["open", "data-kin"]);

// Elements with a key are found again wherever they stand; others by their place and kind.
export function patch(place, wanted) {
  const keyed = new Map([...place.childNodes].filter(hasKey).map((node) => [node.key, node]));
  const keys = new Set(wanted.filter(hasKey).map((node) => node.key));
  let at = place.firstChild;
  for (const next of wanted) {
    while (at !== null && hasKey(at) && !keys.has(at.key)) at = without(at);
    const same = hasKey(next) ? keyed.get(next.key) : at;
    if (!alike(same, next)) {
      place.insertBefore(next, at);
    } else {
      if (same === at) at = at.nextSibling;
      else place.insertBefore(same, at);
      become(same, next);
    }
  }
  while (at !== null) at = without(at);
}

function without(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function hasKey(node) {
  return node.key !== null && node.key !== undefined;
}

function alike(same, next) {
  if (!same || same.nodeName !== next.nodeName) return false;
  return (same.key ?? null) === (next.key ?? null) && heard(same) === heard(next);
}

// What an element listens to is fixed when it is made; what it does then is the newest drawing's.
function heard(node) {
  return Object.keys(node.handlers ?? {}).join();
}

function become(same, next) {
  if (same.nodeType === Node.TEXT_NODE) {
    if (same.nodeValue !== next.nodeValue) same.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...same.attributes]) {
    if (!next.hasAttribute(name) && !READERS.has(name)) same.removeAttribute(name);
  }
  for (const { name, value } of [...next.attributes]) {
    if (same.getAttribute(name) !== value && !READERS.has(name)) same.setAttribute(name, value);
  }
  same.handlers = next.handlers;
  patch(same, [...next.childNodes]);
}
