// Why a device is offered or not, as its host's own agent says, entry by entry of the whitelist.

import { h } from "./dom.js";
import { plural } from "./format.js";
import { toInstance } from "./route.js";

// why: null before it was asked, {busy}, {told} or {fault}.
export function explanation(why, ask) {
  return h(
    "section",
    { "aria-labelledby": "why", "aria-busy": why?.busy ? "true" : null },
    h("h2", { id: "why" }, "Why it is offered, or not"),
    why?.busy && h("p", { class: "faint" }, "Asking the host…"),
    why?.fault && h("p", { class: "bad" }, why.fault.message),
    why?.told?.explanations.map(one),
    !why?.busy && h("button", { type: "button", on: { click: ask } }, why?.fault ? "Ask again" : "Ask the host again"),
  );
}

function one(told) {
  return [
    h("p", null, h("strong", null, told.offered ? `Offered, by entry ${told.decided_by}.` : "Not offered."), " ", outcome(told)),
    h("h3", null, plural(told.entries.length, "whitelist entry").replace("entrys", "entries")),
    h("ol", { class: "entries" }, told.entries.map((entry) => judged(entry, told.decided_by))),
    told.host_use?.length > 0 && [h("h3", null, "The host uses it"), list(told.host_use)],
    told.holders.length > 0 && [h("h3", null, "Held by"), h("ul", null, told.holders.map(holder))],
    told.cures.length > 0 && [h("h3", null, "What to do"), list(told.cures)],
    told.unknown.length > 0 && [h("h3", null, "Not known"), list(told.unknown)],
  ];
}

function outcome(told) {
  if (told.status === null) return null;
  return `It is ${told.status}${told.status_reason ? `: ${told.status_reason}` : ""}.`;
}

function judged(entry, decides) {
  const verdict = entry.number === decides ? "matches, and decides" : entry.matches ? `would match, but entry ${decides} comes first` : entry.failed;
  return h(
    "li",
    { value: entry.number, class: entry.number === decides ? "decides" : null },
    h("code", null, entry.entry),
    h("span", { class: "verdict" }, verdict),
  );
}

function holder(each) {
  return h("li", null, h("a", { class: "code", href: toInstance(each.instance_uuid) }, each.instance_uuid), `, says ${each.said_by}`);
}

function list(texts) {
  return h("ul", null, texts.map((text) => h("li", null, text)));
}
