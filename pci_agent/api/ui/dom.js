// Builds elements. Text goes in as text, whoever wrote it: there is no way here to write markup, or a style.

const SVG = "http://www.w3.org/2000/svg";

// h("a", {href: "#/", class: "host", on: {click: go}, key: "host-1"}, "text", child, …): attributes that are null or
// false are left out, and so are children that are null or false; lists of children are children.
export function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export function text(value) {
  return document.createTextNode(plain(value));
}

// A character that can't be seen, and may turn round or hide what stands beside it, is shown by its number instead: lest
// a name look like another.
export function plain(value) {
  return String(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}

// What is read out, and not seen.
export function unseen(...children) {
  return h("span", { class: "unseen" }, ...children);
}

function filled(element, attributes, children) {
  const { on = null, key = null, ...others } = attributes ?? {};
  for (const [name, value] of Object.entries(others)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : name === "title" ? lines(value) : String(value));
    }
  }
  element.key = key;
  element.handlers = on;
  for (const event of Object.keys(on ?? {})) element.addEventListener(event, handled);
  element.append(...children.flat(Infinity).filter(meant).map(node));
  return element;
}

// The handler is looked up when something happens, so that a newer drawing can bring another (see patch.js).
function handled(event) {
  return event.currentTarget.handlers[event.type](event);
}

const lines = (value) => String(value).split("\n").map(plain).join("\n");

function meant(child) {
  return child !== null && child !== undefined && child !== false;
}

function node(child) {
  return child instanceof Node ? child : text(child);
}
