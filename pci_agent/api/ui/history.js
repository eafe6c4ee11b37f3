// What became of a device, newest first: one line for each change, with what differs.

import { after } from "./api.js";
import { h } from "./dom.js";
import { ago, time } from "./format.js";
import { link, toInstance } from "./route.js";
import { empty } from "./table.js";

const HIDDEN = ["hash"];
const OF_HOLDER = ["instance_uuid", "request_id", "attempt", "project_id", "user_id"];

export function history(page, uuid) {
  const next = after(page, "events");
  return h(
    "section",
    { "aria-labelledby": "history" },
    h("h2", { id: "history" }, "History"),
    page.events.length === 0
      ? empty("Nothing is known of what became of it.", "Old events are purged by the tracker’s operator.")
      : h("ol", { class: "history" }, page.events.map(line)),
    next && h("p", null, h("a", { href: link("device", uuid, { before: next }) }, "What was before")),
  );
}

function line(event) {
  return h(
    "li",
    { key: event.id },
    h("time", { datetime: event.at, title: ago(event.at) }, time(event.at)),
    h("span", { class: "event" }, event.event),
    h("span", { class: "changes" }, changes(event)),
    event.instance_uuid && h("span", { class: "by" }, "for ", h("a", { class: "code", href: toInstance(event.instance_uuid) }, event.instance_uuid), event.request_id && ` by request ${event.request_id}`),
  );
}

// Who held it is told beside the changes, once.
function changes({ before, after: then, instance_uuid }) {
  const told = instance_uuid === null ? HIDDEN : [...HIDDEN, ...OF_HOLDER];
  return [...new Set([...Object.keys(before ?? {}), ...Object.keys(then ?? {})])]
    .filter((name) => !told.includes(name))
    .map((name) => (before && Object.hasOwn(before, name) ? `${name}: ${written(before[name])} → ${written(then?.[name])}` : `${name}: ${written(then[name])}`))
    .join("; ");
}

function written(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
