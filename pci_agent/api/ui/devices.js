// The devices of all hosts, filtered as the API filters them, page by page.

import { after, get } from "./api.js";
import { h } from "./dom.js";
import { brief, pciId } from "./format.js";
import { link, toDevice, toHost, toInstance } from "./route.js";
import { badge, STATUSES, TYPES } from "./status.js";
import { empty, table } from "./table.js";

const PAGE = 100;
const FILTERS = ["status", "dev_type", "hypervisor", "physical_network", "vendor_id", "product_id"];
const SHOWN = STATUSES.slice(0, 5);

export function open({ query, go }) {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query[name] ?? ""]));
  return {
    title: () => "Devices",
    read: (signal) => get("os-pci/detail", { ...asked, limit: PAGE, marker: query.after }, signal),
    draw: (page) => [
      h("h1", { tabindex: "-1" }, "Devices"),
      filter(asked, go),
      page.pci_devices.length === 0
        ? Object.values(asked).some(Boolean)
          ? empty("No device is like that.", ["Ask for less, or see ", h("a", { href: link("devices") }, "all devices"), "."])
          : empty("No host offers a device yet.", ["Write what may be given into ", h("code", null, "[pci] device_spec"), " on the hosts."])
        : table("Devices", COLUMNS, page.pci_devices, { key: (device) => device.uuid }),
      turning(asked, query.after, after(page, "pci_devices")),
    ],
  };
}

export const COLUMNS = [
  { name: "Name", head: true, of: (device) => h("a", { class: "code", href: toDevice(device.uuid) }, device.dev_id) },
  { name: "UUID", wide: true, of: (device) => h("span", { class: "code" }, device.uuid) },
  { name: "PCI ID", of: (device) => h("span", { class: "code" }, pciId(device)) },
  { name: "Node", of: (device) => [h("a", { href: toHost(device.hypervisor_hostname) }, device.hypervisor_hostname), " ", h("span", { class: "faint small" }, device.compute_node_id)] },
  { name: "Type", of: (device) => device.dev_type },
  { name: "Status", of: (device) => badge(device.status) },
  { name: "Network", of: (device) => device.tags.physical_network ?? "–" },
  { name: "Instance", of: (device) => (device.server_uuid ? h("a", { class: "code", href: toInstance(device.server_uuid), title: device.server_uuid }, brief(device.server_uuid)) : "–") },
];

function filter(asked, go) {
  const field = (name, told, size) => h("label", null, told, " ", h("input", { name, value: asked[name], maxlength: "255", size, autocomplete: "off", spellcheck: "false" }));
  const choice = (name, told, values) =>
    h("label", null, told, " ", h("select", { name }, ["", ...values].map((value) => h("option", { value, selected: value === asked[name] }, value || "any"))));
  return h(
    "form",
    { class: "filter", on: { submit: (event) => (event.preventDefault(), go(link("devices", "", Object.fromEntries(new FormData(event.target))))) } },
    choice("status", "Status", SHOWN),
    choice("dev_type", "Type", TYPES),
    field("hypervisor", "Host", 14),
    field("physical_network", "Network", 10),
    field("vendor_id", "Vendor", 5),
    field("product_id", "Product", 5),
    h("button", { type: "submit" }, "Filter"),
  );
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
