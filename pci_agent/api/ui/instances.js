// The instances that hold devices, page by page: which device each of them has.

import { after, get } from "./api.js";
import { h } from "./dom.js";
import { link, toDevice, toHost, toInstance } from "./route.js";
import { empty, table } from "./table.js";

const PAGE = 100;
const MOST_EACH = 16;

export function open({ query }) {
  return {
    title: () => "Instances",
    read: (signal) => get("servers/detail", { limit: PAGE, marker: query.after }, signal),
    draw: (page) => [
      h("h1", { tabindex: "-1" }, "Instances"),
      page.servers.length === 0
        ? empty("No instance holds a PCI device.", [
            "One appears here as soon as it claims one over REST or AMQP, or its libvirt domain has one.",
          ])
        : table("Instances and their devices", COLUMNS, page.servers, { key: (server) => server.id }),
      turning(query.after, after(page, "servers")),
    ],
  };
}

const COLUMNS = [
  { name: "Instance", head: true, of: (server) => h("a", { class: "code", href: toInstance(server.id) }, server.id) },
  { name: "Project", of: (server) => server.tenant_id ?? "unknown" },
  { name: "Host", of: (server) => hosts(server).map((host, number) => [number > 0 && ", ", h("a", { href: toHost(host) }, host)]) },
  { name: "Devices", wide: true, of: (server) => devices(server["os-pci:pci_devices"]) },
];

function hosts(server) {
  return [...new Set(server["os-pci:pci_devices"].map((device) => device.hypervisor_hostname))];
}

function devices(those) {
  return h(
    "ul",
    { class: "plain-list" },
    those.slice(0, MOST_EACH).map((device) =>
      h("li", { key: device.uuid }, h("span", { class: "code faint" }, device.address), " ", h("a", { class: "code", href: toDevice(device.uuid) }, device.uuid)),
    ),
    those.length > MOST_EACH && h("li", null, `and ${those.length - MOST_EACH} more`),
  );
}

function turning(at, next) {
  if (!at && !next) return null;
  return h(
    "nav",
    { class: "turning", "aria-label": "Pages of instances" },
    at && h("a", { href: link("instances") }, "First page"),
    next && h("a", { href: link("instances", "", { after: next }) }, "Next page"),
  );
}
