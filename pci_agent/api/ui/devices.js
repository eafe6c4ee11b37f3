// The devices of all hosts, filtered as the API filters them, page by page. Every condition that stands in the address
// goes to the API, which refuses what it doesn't know; those without a field of their own are said in words.

import { after, get } from "./api.js";
import { h } from "./dom.js";
import { address, brief, pciId, plural } from "./format.js";
import { link, toDevice, toHost, toInstance } from "./route.js";
import { badge, STATUSES, TYPES } from "./status.js";
import { empty, table } from "./table.js";

const PAGE = 100;
const LABELS = new Map([
  ["status", "Status"],
  ["dev_type", "Type"],
  ["hypervisor", "Host"],
  ["physical_network", "Network"],
  ["vendor_id", "Vendor"],
  ["product_id", "Product"],
  ["address", "Address"],
  ["instance_uuid", "Instance"],
]);
const SHOWN = STATUSES.slice(0, 5);
const TAG = "tag:";

export function open({ query, go }) {
  const { after: at = "", ...asked } = query;
  return {
    title: () => "Devices",
    read: (signal) => get("os-pci/detail", { limit: PAGE, ...asked, ...(at === "" ? {} : { marker: at }) }, signal),
    draw: (page) => drawn(page, at),
    refused: (fault) => [heading(), filter(asked, go, fault), others(asked), h("p", { class: "bad", role: "alert" }, inShort(fault.message))],
  };

  function drawn(page, at) {
    const next = after(page, "pci_devices");
    const count = page.pci_devices.length;
    return [
      heading(),
      filter(asked, go),
      others(asked),
      count > 0 && h("p", { class: "faint", role: "status" }, `${plural(count, "device")}${at || next ? " on this page" : ""}`),
      count > 0
        ? table("Devices", COLUMNS, page.pci_devices, { key: (device) => device.uuid, many: true })
        : Object.values(asked).some(Boolean)
          ? empty("No device is like that.", ["Ask for less, or see ", h("a", { href: link("devices") }, "all devices"), "."])
          : empty("No host offers a device yet.", ["Write what may be given into ", h("code", null, "[pci] device_spec"), " on the hosts."]),
      turning(asked, at, next),
    ];
  }
}

// What is wrong, at the name that the form gives it; of what has no name there, as the API says it.
function inShort(message) {
  return message.replace(/ Known here:.*/s, "").replace(/^Query parameter '([^']*)':/, (whole, name) => (LABELS.has(name) ? `${LABELS.get(name)}:` : whole));
}

function heading() {
  return h("h1", { tabindex: "-1" }, "Devices");
}

export const COLUMNS = [
  { name: "Name", head: true, of: (device) => h("a", { class: "code", href: toDevice(device.uuid) }, device.dev_id) },
  { name: "UUID", wide: true, of: (device) => h("span", { class: "code" }, device.uuid) },
  { name: "PCI ID", of: (device) => h("span", { class: "code" }, pciId(device)) },
  { name: "Node", of: (device) => [h("a", { href: toHost(device.hypervisor_hostname) }, device.hypervisor_hostname), " ", h("span", { class: "faint small" }, device.compute_node_id)] },
  { name: "Type", of: (device) => device.dev_type },
  { name: "Status", of: (device) => badge(device.status) },
  { name: "Network", of: (device) => device.tags.physical_network },
  { name: "Instance", of: (device) => (device.server_uuid ? h("a", { class: "code", href: toInstance(device.server_uuid), title: device.server_uuid }, brief(device.server_uuid)) : null) },
];

function filter(asked, go, fault = null) {
  const [, wrong = ""] = /^Query parameter '([^']*)'/.exec(fault?.message) ?? [];
  const amiss = (name) => (wrong === name || (name === "tag" && wrong.startsWith(TAG)) ? "true" : null);
  const [tag = null] = tags(asked);
  const field = (name, size, more = {}) =>
    h("label", null, LABELS.get(name) ?? "Tag", " ", h("input", { name, value: asked[name] ?? "", maxlength: "255", size, autocomplete: "off", spellcheck: "false", "aria-invalid": amiss(name), ...more }));
  const choice = (name, values) => {
    const strange = asked[name] && !values.includes(asked[name]) ? [asked[name]] : [];
    const options = ["", ...values, ...strange].map((value) => h("option", { value, selected: value === (asked[name] ?? "") }, value || "any"));
    return h("label", null, LABELS.get(name), " ", h("select", { name, "aria-invalid": amiss(name) }, options));
  };
  return h(
    "form",
    { class: "filter", on: { submit: (event) => (event.preventDefault(), go(link("devices", "", wanted(event.target, asked)))) } },
    choice("status", SHOWN),
    choice("dev_type", TYPES),
    field("hypervisor", 14),
    field("physical_network", 10),
    field("vendor_id", 5, { placeholder: "8086" }),
    field("product_id", 5, { placeholder: "10ca" }),
    field("address", 12, { placeholder: "0000:04:10.0" }),
    field("instance_uuid", 14, { placeholder: "uuid" }),
    field("tag", 10, { value: tag ?? "", placeholder: "rack=7", pattern: "[^=]+=.+", title: "NAME=VALUE" }),
    h("button", { type: "submit" }, "Filter"),
  );
}

// What the form says, with those conditions that have no field in it.
function wanted(form, asked) {
  const { tag, ...given } = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
  const [first] = tags(asked);
  const [name, ...value] = tag.split("=");
  const kept = Object.entries(asked).filter(([each]) => !LABELS.has(each) && each !== named(first));
  return { ...Object.fromEntries(kept), ...given, address: address(given.address) ?? given.address, ...(tag && { [TAG + name.trim()]: value.join("=").trim() }) };
}

const tags = (asked) => Object.entries(asked).filter(([name]) => name.startsWith(TAG)).map(([name, value]) => `${name.slice(TAG.length)}=${value}`);
const named = (tag) => tag && TAG + tag.split("=")[0];

function others(asked) {
  const [first] = tags(asked);
  const also = Object.entries(asked).filter(([name, value]) => value !== "" && !LABELS.has(name) && name !== named(first));
  if (also.length === 0) return null;
  const without = (name) => link("devices", "", Object.fromEntries(Object.entries(asked).filter(([each]) => each !== name)));
  return h("p", null, "Only those with ", also.map(([name, value], place) => [place > 0 && ", ", h("span", { class: "code" }, `${name}=${value}`), " (", h("a", { href: without(name) }, `drop ${name}`), ")"]), ".");
}

function turning(asked, at, next) {
  if (!at && !next) return null;
  return h(
    "nav",
    { class: "turning", "aria-label": "Pages of devices" },
    at && h("a", { href: link("devices", "", asked) }, "First page"),
    next && h("a", { href: link("devices", "", { ...asked, after: next }) }, "Next page"),
  );
}
