// One host: how its agent fares, its devices as a picture, who holds what, its IOMMU groups and its PCI stats.

import { after, fits, get, path } from "./api.js";
import { h } from "./dom.js";
import { ago, number, pciId, plural, time } from "./format.js";
import { counts, of as countsOf } from "./hosts.js";
import { picture } from "./picture.js";
import { link, toDevice, toInstance } from "./route.js";
import { badge, blockedMeans, legend } from "./status.js";
import { empty, table } from "./table.js";

const MOST = 500;
const UNFOLDED = 10;

export const takes = (name) => name !== "";

export function open({ name, query }) {
  return {
    title: (data) => data?.host.hypervisor_hostname ?? name,
    async read(signal) {
      const listed = get("os-pci/detail", { hypervisor: name, limit: MOST, marker: query.after }, signal);
      const [host, page] = await Promise.all([named(name, signal), listed]);
      return { host, devices: page.pci_devices, next: after(page, "pci_devices") };
    },
    draw: ({ host, devices, next }) => [
      h("h1", { tabindex: "-1" }, host.hypervisor_hostname),
      head(host),
      amiss(host),
      devices.length === 0
        ? empty("This host offers no device.", [
            "Its whitelist, ",
            h("code", null, "[pci] device_spec"),
            ", names none that is there. ",
            h("code", null, "pci-agent check-config"),
            " on the host says what each entry matches.",
          ])
        : [drawn(devices, next, host, query), held(devices), groups(devices)],
      stats(host),
    ],
  };
}

// Some names can't be a part of a path; such a host is found in the list.
async function named(name, signal) {
  if (fits(name)) return (await get(path`os-hypervisors/${name}`, {}, signal)).hypervisor;
  const [device] = (await get("os-pci", { hypervisor: name, limit: 1 }, signal)).pci_devices;
  if (device === undefined) throw new Error("A host of that name offers no device, and can’t be asked for.");
  return (await get(path`os-hypervisors/${device.compute_node_id}`, {}, signal)).hypervisor;
}

function head(host) {
  const all = counts(host);
  const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value));
  return h(
    "dl",
    { class: "facts in-line" },
    fact("State", badge(host.state)),
    fact("Last heard of", h("span", { title: time(host.last_seen) }, ago(host.last_seen))),
    fact("Free", number(all.free)),
    fact("Held", number(all.held)),
    fact("Blocked", number(all.blocked)),
    fact("Agent", host.agent_version ?? "unknown"),
    fact("Node id", h("span", { class: "code" }, host.id)),
  );
}

function amiss(host) {
  const told = [
    host.state === "down" && `It wasn’t heard of since ${time(host.last_seen)}: nothing of it is given until its agent, or its way to the broker, is back.`,
    host.observing && "Its agent only observes: it shows everything and gives nothing.",
    host.agent_is_older && `Its agent is older (${host.agent_version}) than this tracker.`,
    host.refused_agent && `Another agent (${host.refused_agent.agent_uuid}) asked to speak for it at ${time(host.refused_agent.refused_at)} and was refused.`,
    ...host.config_errors.map((error) => `Its newest configuration is not in force: ${error}`),
    ...host.unresolved_devnames.map((devname) => `Its whitelist names ${devname}, which no device bears.`),
    ...host.problems.map((problem) => (problem.address ? `${problem.address}: ${problem.cause}` : problem.cause)),
  ].filter(Boolean);
  if (told.length === 0) return null;
  return h(
    "section",
    { class: "amiss", "aria-labelledby": "amiss" },
    h("h2", { id: "amiss" }, "Amiss"),
    h("ul", null, told.slice(0, 20).map((each) => h("li", null, each))),
    told.length > 20 && h("p", null, `${plural(told.length - 20, "more problem")}: pcictl hypervisor show has them all.`),
  );
}

function drawn(devices, next, host, query) {
  return h(
    "section",
    { "aria-labelledby": "devices" },
    h("h2", { id: "devices" }, "Devices"),
    h("details", { class: "legend-of" }, h("summary", null, "What the shapes mean"), legend()),
    picture(devices),
    (next || query.after) &&
      h(
        "nav",
        { class: "turning", "aria-label": "Pages of devices" },
        query.after && h("a", { href: link("host", host.hypervisor_hostname) }, "First devices"),
        next && h("a", { href: link("host", host.hypervisor_hostname, { after: next }) }, "More devices"),
      ),
  );
}

function held(devices) {
  const holders = new Map();
  for (const device of devices.filter((each) => each.server_uuid)) {
    holders.set(device.server_uuid, [...(holders.get(device.server_uuid) ?? []), device]);
  }
  const columns = [
    { name: "Instance", head: true, of: ([uuid]) => h("a", { class: "code", href: toInstance(uuid) }, uuid) },
    { name: "Devices", wide: true, of: ([, those]) => those.map((device, number) => [number > 0 && ", ", h("a", { class: "code", href: toDevice(device.uuid) }, device.address)]) },
    { name: "Status", of: ([, those]) => [...new Set(those.map((device) => device.status))].map(badge) },
  ];
  return h(
    "section",
    { "aria-labelledby": "held" },
    h("h2", { id: "held" }, "Who holds what"),
    holders.size === 0
      ? h("p", { class: "faint" }, "No instance holds a device here.")
      : lists([...holders], (part) => table("Instances and their devices", columns, part, { key: ([uuid]) => uuid })),
  );
}

// A long list is folded, so that what follows it isn't far away.
function lists(items, drawn) {
  const [first, rest] = [items.slice(0, UNFOLDED), items.slice(UNFOLDED)];
  return [drawn(first), rest.length > 0 && h("details", null, h("summary", null, `${number(rest.length)} more`), drawn(rest))];
}

function groups(devices) {
  const found = new Map();
  let without = 0;
  for (const device of devices) {
    const group = device.extra_info.iommu_group;
    if (group === undefined) without += 1;
    else found.set(group, [...(found.get(group) ?? []), device]);
  }
  const shared = [...found].filter(([, those]) => those.length > 1).sort(([one], [other]) => one - other);
  const columns = [
    { name: "Group", head: true, of: ([group]) => group },
    { name: "Devices", wide: true, of: ([, those]) => those.map((device, number) => [number > 0 && ", ", h("a", { class: "code", href: toDevice(device.uuid) }, device.address)]) },
  ];
  const told = [
    found.size > 0 && `${plural(found.size, "group")}, ${shared.length === 0 ? "each of a single device here." : `${number(shared.length)} of them shared: one instance may hold members of such a group, not two.`}`,
    without > 0 && `${plural(without, "device")} without an IOMMU group: without an IOMMU a device can’t be given to a guest safely.`,
  ];
  return h(
    "section",
    { "aria-labelledby": "groups" },
    h("h2", { id: "groups" }, "IOMMU groups"),
    h("p", { class: "faint" }, told.filter(Boolean).join(" ")),
    shared.length > 0 && table("Shared IOMMU groups", columns, shared, { key: ([group]) => group }),
  );
}

function stats(host) {
  const pools = host["os-pci:pci_stats"];
  if (pools.length === 0) return null;
  const known = new Set(["count", "free", "used", "total", "vendor_id", "product_id", "numa_node", "dev_type", "parent_addr"]);
  const tags = (pool) => Object.entries(pool).filter(([name]) => !known.has(name));
  const columns = [
    { name: "Kind", head: true, of: (pool) => [h("span", { class: "code" }, pciId(pool)), " ", h("span", { class: "faint" }, pool.dev_type)] },
    { name: "PF", of: (pool) => (pool.parent_addr ? h("span", { class: "code" }, pool.parent_addr) : "–") },
    { name: "Tags", wide: true, of: (pool) => tags(pool).map(([name, value], place) => [place > 0 && ", ", `${name}=`, h("wbr"), value ?? "null"]) },
    { name: "NUMA node", number: true, of: (pool) => pool.numa_node ?? "–" },
    { name: "Free", number: true, of: (pool) => number(countsOf(pool, host).free) },
    { name: "Held", number: true, of: (pool) => number(pool.used) },
    { name: "Blocked", number: true, of: (pool) => number(countsOf(pool, host).blocked) },
    { name: "Total", number: true, of: (pool) => number(pool.total) },
  ];
  return h("section", { "aria-labelledby": "stats" }, h("h2", { id: "stats" }, "PCI stats"), table("Pools of this host", columns, pools), blockedMeans());
}
