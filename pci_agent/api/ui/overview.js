// The fleet: what it has in all, by physical network and kind, and its hosts. However many hosts there are, only a page
// of them is drawn; finding and sorting work on all of them, here.

import { everything } from "./api.js";
import { h, unseen } from "./dom.js";
import { ago, number, pciId, plural, time } from "./format.js";
import { added, chosen, counts, kinds, remarks } from "./hosts.js";
import { link, toHost } from "./route.js";
import { badge, bar, blockedMeans } from "./status.js";
import { empty, table } from "./table.js";

const PAGE = 50;
const MOST_KINDS = 60;

export function open({ query, busy, steer }) {
  return {
    title: () => "Fleet",
    async read(signal) {
      const told = (count) => busy(`${plural(count, "host")} read`);
      const hosts = await everything("os-hypervisors/detail", "hypervisors", {}, signal, told);
      return hosts.map((host) => ({ ...host, counts: counts(host) }));
    },
    draw: (hosts) => [
      h("h1", { tabindex: "-1" }, "Fleet"),
      hosts.length === 0
        ? empty("No host has reported yet.", [
            "Start pci-agent on a hypervisor, with this tracker’s broker as its ",
            h("code", null, "transport_url"),
            "; its host appears here within a minute.",
          ])
        : [figures(hosts), networks(kinds(hosts)), list(hosts, query, steer)],
    ],
  };
}

function figures(hosts) {
  const all = added(hosts.map((host) => host.counts));
  const up = hosts.filter((host) => host.state === "up").length;
  const figure = (name, count, kind) => h("div", { class: `figure is-${kind}` }, h("dt", null, name), h("dd", null, number(count)));
  return h(
    "dl",
    { class: "figures" },
    figure("Hosts up", up, "up"),
    figure("Hosts down", hosts.length - up, hosts.length > up ? "down" : "none"),
    figure("Devices free", all.free, "available"),
    figure("Held", all.held, "allocated"),
    figure("Blocked", all.blocked, "unavailable"),
    figure("In all", all.total, "none"),
  );
}

function networks(lines) {
  const shown = lines.slice(0, MOST_KINDS);
  const columns = [
    { name: "Network", head: true, of: (line) => line.network ?? h("span", { class: "faint" }, "none") },
    { name: "Kind", of: (line) => [h("a", { href: devicesOf(line), class: "code" }, pciId(line)), " ", h("span", { class: "faint" }, line.dev_type)] },
    { name: "Use", of: (line) => bar(line) },
    { name: "Hosts", number: true, of: (line) => number(line.hosts) },
    ...numbers(),
  ];
  return h(
    "section",
    { "aria-labelledby": "networks" },
    h("h2", { id: "networks" }, "By physical network and kind"),
    shown.length === 0
      ? empty("No device is offered.", ["Write what may be given into ", h("code", null, "[pci] device_spec"), " on the hosts."])
      : table("Devices by physical network and kind", columns, shown, { key: (line) => line.key }),
    lines.length > shown.length && h("p", { class: "faint" }, `${plural(lines.length - shown.length, "more kind")} not shown.`),
    blockedMeans(),
  );
}

function devicesOf(line) {
  const { network, vendor_id, product_id, dev_type } = line;
  return link("devices", "", { physical_network: network, vendor_id, product_id, dev_type });
}

function numbers() {
  return [
    { name: "Free", sort: "free", number: true, of: (line) => number((line.counts ?? line).free) },
    { name: "Held", sort: "held", number: true, of: (line) => number((line.counts ?? line).held) },
    { name: "Blocked", sort: "blocked", number: true, of: (line) => number((line.counts ?? line).blocked) },
    { name: "Total", sort: "total", number: true, of: (line) => number((line.counts ?? line).total) },
  ];
}

function list(hosts, query, steer) {
  const asked = { find: query.find ?? "", state: query.state ?? "", sort: query.sort ?? "name", down: query.down === "1" };
  const found = chosen(hosts, asked);
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const page = Math.min(pages, Math.max(1, Number.parseInt(query.page ?? "1", 10) || 1));
  const sorted = {
    ...asked,
    key: asked.sort,
    by: (key) => steer({ ...query, sort: key, down: asked.sort === key && !asked.down ? "1" : "", page: "" }),
  };
  const columns = [
    { name: "Host", head: true, sort: "name", of: (host) => h("a", { href: toHost(host.hypervisor_hostname) }, host.hypervisor_hostname) },
    { name: "State", sort: "state", of: (host) => h("span", { class: "together" }, badge(host.state), " ", seen(host)) },
    { name: "Use", of: (host) => bar(host.counts) },
    ...numbers(),
    { name: "Remarks", sort: "remarks", of: (host) => remarks(host).join("; ") || h("span", { class: "faint" }, "none") },
  ];
  return h(
    "section",
    { "aria-labelledby": "hosts" },
    h("h2", { id: "hosts" }, "Hosts"),
    filter(asked, (news) => steer({ ...query, ...news, page: "" })),
    h(
      "p",
      { class: "faint", role: "status" },
      `${plural(found.length, "host")}${found.length < hosts.length ? ` of ${number(hosts.length)}` : ""}`,
    ),
    found.length === 0
      ? empty("No host is like that.", "Clear the filter to see all of them.")
      : table("Hosts", columns, found.slice((page - 1) * PAGE, page * PAGE), { key: (host) => host.id, sorted }),
    pages > 1 && turning(page, pages, query),
  );
}

function seen(host) {
  return host.state === "up" ? null : h("span", { class: "faint", title: time(host.last_seen) }, ago(host.last_seen));
}

function filter({ find, state }, changed) {
  const option = (value, name) => h("option", { value, selected: value === state }, name);
  return h(
    "form",
    { class: "filter", on: { submit: (event) => event.preventDefault() } },
    h(
      "label",
      null,
      "Name has ",
      h("input", { type: "search", name: "find", value: find, autocomplete: "off", spellcheck: "false", on: { input: (event) => changed({ find: event.target.value }) } }),
    ),
    h(
      "label",
      null,
      "State ",
      h("select", { name: "state", on: { change: (event) => changed({ state: event.target.value }) } }, option("", "any"), option("up", "up"), option("down", "down")),
    ),
  );
}

function turning(page, pages, query) {
  const to = (there, name) =>
    there >= 1 && there <= pages
      ? h("a", { href: link("", "", { ...query, page: there === 1 ? "" : there }), key: name }, name)
      : h("span", { class: "faint", key: name }, name);
  return h(
    "nav",
    { class: "turning", "aria-label": "Pages of hosts" },
    to(page - 1, "Previous"),
    h("span", null, unseen("Page "), `${page} of ${pages}`),
    to(page + 1, "Next"),
  );
}
