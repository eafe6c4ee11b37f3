// A status is a shape and a word, and a colour besides: never a colour alone.

import { h, svg } from "./dom.js";

// Each shape is drawn in a field of 12 by 12.
const SHAPES = {
  available: () => [svg("circle", { cx: 6, cy: 6, r: 4.25, class: "line" })],
  claimed: () => [
    svg("circle", { cx: 6, cy: 6, r: 4.25, class: "line" }),
    svg("path", { d: "M6 1.75a4.25 4.25 0 0 0 0 8.5z", class: "fill" }),
  ],
  allocated: () => [svg("circle", { cx: 6, cy: 6, r: 5, class: "fill" })],
  unclaimable: () => [svg("path", { d: "M6 1l5 5-5 5-5-5z", class: "line" })],
  unavailable: () => [svg("path", { d: "M6 1.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6M2.6 9.4l6.8-6.8", class: "line" })],
  removed: () => [svg("path", { d: "M2.2 2.2l7.6 7.6M9.8 2.2L2.2 9.8", class: "line" })],
  deleted: () => [svg("path", { d: "M2.2 2.2l7.6 7.6M9.8 2.2L2.2 9.8", class: "line" })],
  up: () => [svg("path", { d: "M6 2l4.6 8H1.4z", class: "fill" })],
  down: () => [svg("path", { d: "M6 10L1.4 2h9.2z", class: "line" })],
  other: () => [svg("path", { d: "M2 2h8v8H2z", class: "line" })],
};

export const STATUSES = ["available", "claimed", "allocated", "unclaimable", "unavailable", "removed", "deleted"];
export const TYPES = ["type-PCI", "type-PF", "type-VF", "vdpa"];

const MEANINGS = {
  available: "can be given now",
  claimed: "held, until its claim is confirmed or ends",
  allocated: "held by an instance",
  unclaimable: "a relative is claimed: its PF, or a VF of it",
  unavailable: "in use by the host, by a relative’s holder, or disabled",
};

// The name in class names; what isn't known is "other", and is still shown in its own words.
export const kind = (status) => (Object.hasOwn(SHAPES, status) ? status : "other");

export function shape(status) {
  return svg("svg", { class: `shape is-${kind(status)}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, SHAPES[kind(status)]());
}

export function badge(status) {
  return h("span", { class: `badge is-${kind(status)}` }, shape(status), status);
}

export function legend() {
  return h(
    "dl",
    { class: "legend" },
    Object.entries(MEANINGS).map(([status, meaning]) => h("div", null, h("dt", null, badge(status)), h("dd", null, meaning))),
    h("div", null, h("dt", { class: "code" }, "g7"), h("dd", null, "its IOMMU group is 7")),
  );
}

export function blockedMeans() {
  return h("p", { class: "faint small" }, "Blocked: neither free nor held, as it is in the host’s own use, disabled, kept by a relative’s holder, or on a host that is down or only observes.");
}

// A bar of what is free, held and blocked. The numbers stand beside it, so it is read to nobody.
export function bar({ free, held, blocked }) {
  const total = free + held + blocked || 1;
  const part = (count) => (count / total) * 100;
  const block = (name, x, width) => width > 0 && svg("rect", { class: `bar-${name}`, x, y: 0, width, height: 8 });
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    block("held", 0, part(held)),
    block("blocked", part(held), part(blocked)),
    block("free", part(held + blocked), part(free)),
  );
}
