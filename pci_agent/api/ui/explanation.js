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
    cures(told).length > 0 && [h("h3", null, "What to do"), list(cures(told))],
    told.unknown.length > 0 && [h("h3", null, "Not known"), list(told.unknown)],
  ];
}

// How it stands now goes before how its whitelist alone would have it: what an operator said is in the first only.
function outcome({ status, status_reason: reason, status_now: now }) {
  const then = status && (reason ? `${status}, ${reason}` : status);
  if (now === null || now === then) return then && `It is ${colon(then)}.`;
  if (disabled(now) || then === null) return `It is ${colon(now)}.`;
  return `It is ${colon(now)}. By its whitelist it is to be ${colon(then)}.`;
}

// The word is parted from its reason, as everywhere here.
const colon = (told) => told.replace(", ", ": ");

export const disabled = (told) => /(^|[;,] )disabled by /.test(told ?? "");

function cures(told) {
  return disabled(told.status_now) ? [...told.cures, "to have it given again, enable it: the button is above, at its name"] : told.cures;
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
  const who = each.instance_uuid ? h("a", { class: "code", href: toInstance(each.instance_uuid) }, each.instance_uuid) : "somebody";
  return h("li", null, who, `, says ${each.said_by === "the agent's store" ? "its host’s agent" : each.said_by}`);
}

function list(texts) {
  return h("ul", null, texts.map((text) => h("li", null, text)));
}
