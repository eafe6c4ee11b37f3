// One device: what it is, who holds it, why it is offered or not, what became of it, and an operator's word on it.

import { act, agreed } from "./ask.js";
import { change, Fault, fits, get, path, slowly } from "./api.js";
import { h } from "./dom.js";
import { disabled, explanation } from "./explanation.js";
import { ago, pciId, time } from "./format.js";
import { history } from "./history.js";
import { toHost, toInstance } from "./route.js";
import { badge } from "./status.js";
import { empty } from "./table.js";

const LASTS = [
  ["", "it is enabled"],
  ["3600", "an hour from now"],
  ["28800", "8 hours from now"],
  ["86400", "tomorrow, this time"],
  ["604800", "a week from now"],
  ["at", "a time of my own"],
];

export const takes = fits;

export function open({ name, query, again, redraw }) {
  let why = null; // what the host says, once it was asked
  let own = false; // whether the reader names a time
  let asking = null;

  async function explain(uuid) {
    asking = new AbortController();
    why = { busy: true };
    redraw();
    try {
      why = { told: await slowly(path`os-pci/${uuid}/explain`, {}, asking.signal) };
    } catch (fault) {
      why = { fault };
    }
    redraw();
  }

  return {
    title: (data) => data?.device?.dev_id ?? name,
    end: () => asking?.abort(),
    async read(signal) {
      const [device, events] = await Promise.all([
        get(path`os-pci/${name}`, {}, signal).catch(gone),
        get(path`os-pci/${name}/history`, { limit: 50, marker: query.before }, signal),
      ]);
      if (device && why === null) explain(device.pci_device.uuid);
      return { device: device?.pci_device ?? null, events };
    },
    draw: ({ device, events }) =>
      device === null
        ? [
            h("h1", { tabindex: "-1" }, "A device that is gone"),
            empty("No host has this device any more.", "Below is what became of it."),
            history(events, name),
          ]
        : [
            h("h1", { tabindex: "-1" }, device.dev_id),
            standing(device),
            orders(device, { own, name: (value) => ((own = value), redraw()), again: () => (again(), explain(device.uuid)) }),
            h("div", { class: "beside" }, facts(device), explanation(why, () => explain(device.uuid))),
            history(events, device.uuid),
          ],
  };
}

function gone(fault) {
  if (fault instanceof Fault && fault.code === 404) return null;
  throw fault;
}

function standing(device) {
  const { server_uuid: holder } = device;
  return h(
    "p",
    { class: "standing" },
    badge(device.status),
    " on ",
    h("a", { href: toHost(device.hypervisor_hostname) }, device.hypervisor_hostname),
    holder && [", held by ", h("a", { class: "code", href: toInstance(holder) }, holder)],
    device.status_reason && [": ", h("span", { class: "reason" }, device.status_reason)],
  );
}

function facts(device) {
  const { extra_info: more, tags } = device;
  const code = (value) => value && h("span", { class: "code" }, value);
  const known = [
    ["Name", code(device.dev_id)],
    ["UUID", code(device.uuid)],
    ["ID", code(device.id)],
    ["Address", code(device.address)],
    ["PCI ID", code(pciId(device))],
    ["Type", device.dev_type],
    ["Status", device.status],
    ["Instance", device.server_uuid ? h("a", { class: "code", href: toInstance(device.server_uuid) }, device.server_uuid) : "none"],
    ["Request", code(device.request_id)],
    ["Host", h("a", { href: toHost(device.hypervisor_hostname) }, device.hypervisor_hostname)],
    ["Node ID", code(device.compute_node_id)],
    ["NUMA node", device.numa_node ?? "none"],
    ["PF", device.parent_addr && code(device.parent_addr)],
    ["Label", device.label],
    ["Known since", time(device.created_at)],
    ["Changed", device.updated_at && h("span", { title: time(device.updated_at) }, ago(device.updated_at))],
  ];
  const extra = Object.entries(more).filter(([name]) => !Object.hasOwn(tags, name) && name !== "phys_function");
  const fact = ([name, value]) => value !== null && value !== undefined && h("div", null, h("dt", null, name), h("dd", null, value));
  return h(
    "section",
    { "aria-labelledby": "facts" },
    h("h2", { id: "facts" }, "Facts"),
    h("dl", { class: "facts" }, known.map(fact)),
    Object.keys(tags).length > 0 && [
      h("h3", null, "Tags"),
      h("dl", { class: "facts" }, Object.entries(tags).map(([name, value]) => fact([name, value ?? "null"]))),
    ],
    extra.length > 0 && [h("h3", null, "Extra info"), h("dl", { class: "facts" }, extra.map(([name, value]) => fact([name, code(value)])))],
  );
}

function orders(device, { own, name, again }) {
  const where = (verb) => path`os-pci/${device.uuid}/` + verb;
  const kept = disabled(device.status_reason);

  async function disable(event) {
    event.preventDefault();
    const { reason, lasts, until } = event.target.elements;
    const body = { reason: reason.value.trim(), until: end(lasts.value, until?.value) };
    const send = () => change("POST", where("disable"), body);
    const done = await act(event.submitter ?? event.target, send, `${device.dev_id} is disabled.`, again);
    if (!done) return;
    const details = event.target.closest("details");
    details.open = false;
    details.querySelector("summary").focus();
  }

  async function enable(event) {
    const button = event.currentTarget;
    const what = `${device.dev_id} on ${device.hypervisor_hostname} may be given to guests again, as far as nothing else stands against it.`;
    if (await agreed({ title: "Enable this device?", what, act: "Enable" })) {
      act(button, () => change("POST", where("enable"), {}), `${device.dev_id} is enabled.`, again);
    }
  }

  return h(
    "div",
    { class: "orders" },
    kept && h("button", { type: "button", key: "enable", on: { click: enable } }, "Enable"),
    h(
      "details",
      { key: "disable" },
      h("summary", { class: "button" }, kept ? "Disable for another reason" : "Disable"),
      h(
        "form",
        { class: "order", on: { submit: disable } },
        h("p", { class: "faint small" }, "It is kept from being given. Who holds it keeps it."),
        h("label", null, "Reason ", h("input", { name: "reason", required: true, maxlength: "1000", autocomplete: "off" })),
        h(
          "label",
          null,
          "Until ",
          h("select", { name: "lasts", on: { change: (event) => name(event.target.value === "at") } }, LASTS.map(([value, told]) => h("option", { value }, told))),
        ),
        own && h("label", { key: "until" }, "Time ", h("input", { name: "until", type: "datetime-local", required: true })),
        h("button", { type: "submit", class: "grave", key: "go" }, "Disable this device"),
      ),
    ),
  );
}

// When a word ends, as the API has it; null where it doesn't end by itself.
function end(lasts, until) {
  if (lasts === "") return null;
  const at = lasts === "at" ? new Date(until) : new Date(Date.now() + Number(lasts) * 1000);
  return at.toISOString();
}
