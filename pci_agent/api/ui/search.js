// Finds what a word may mean: an address, however short, a device's name, uuid or id, an instance or the beginning of its
// uuid, ids, a host. What it can only mean in one way is shown at once.

import { everything, Fault, fits, get, path } from "./api.js";
import { COLUMNS } from "./devices.js";
import { h } from "./dom.js";
import { address, number } from "./format.js";
import { toDevice, toHost, toInstance } from "./route.js";
import { badge } from "./status.js";
import { empty, table } from "./table.js";

const MOST = 50;
const MOST_INSTANCES = 5000;
const BEGINNING = /^[0-9a-f]{4,8}(?:-[0-9a-f-]*)?$/i;
const IDS = /^(?:0x)?([0-9a-f]{4}):(?:0x)?([0-9a-f]{4})$/i;

export function open({ query, replace }) {
  const word = (query.q ?? "").trim();
  return {
    title: () => `Search: ${word}`,
    async read(signal) {
      if (word === "") return { hosts: [], devices: [], instances: [] };
      const [hosts, devices, held] = await Promise.all([hostsLike(word, signal), devicesLike(word, signal), heldBy(word, signal)]);
      const found = { hosts, devices, instances: held };
      const one = only(found);
      if (one !== null) replace(one);
      return found;
    },
    draw: ({ hosts, devices, instances }) => [
      h("h1", { tabindex: "-1" }, "Search: ", h("span", { class: "word" }, word)),
      hosts.length + devices.length + instances.length === 0 &&
        empty(word === "" ? "Nothing was asked for." : "Nothing is called that.", [
          "Write an address (",
          h("code", null, "0000:04:10.0"),
          " or ",
          h("code", null, "04:10.0"),
          ") of a device, or of a PF whose VFs are offered; a device’s name, uuid or id; ",
          h("code", null, "vendor:product"),
          "; an instance’s uuid, or its first 4 signs or more; a host’s id or a part of its name.",
        ]),
      hosts.length > 0 && h("section", { "aria-labelledby": "of-hosts" }, h("h2", { id: "of-hosts" }, "Hosts"), hostsTable(hosts.slice(0, MOST)), more(hosts)),
      instances.length > 0 && h("section", { "aria-labelledby": "of-instances" }, h("h2", { id: "of-instances" }, "Instances"), h("ul", { class: "plain-list" }, instances.slice(0, MOST).map((uuid) => h("li", { key: uuid }, h("a", { class: "code", href: toInstance(uuid) }, uuid)))), more(instances)),
      devices.length > 0 && h("section", { "aria-labelledby": "of-devices" }, h("h2", { id: "of-devices" }, "Devices"), table("Devices found", COLUMNS, devices.slice(0, MOST), { key: (device) => device.uuid, many: true }), more(devices)),
    ],
  };
}

function hostsTable(hosts) {
  const columns = [
    { name: "Host", head: true, of: (host) => h("a", { href: toHost(host.hypervisor_hostname) }, host.hypervisor_hostname) },
    { name: "State", of: (host) => badge(host.state) },
  ];
  return table("Hosts found", columns, hosts, { key: (host) => host.id });
}

function more(found) {
  return found.length > MOST && h("p", { class: "faint" }, `The first ${number(MOST)}; write more of the name to see fewer.`);
}

async function hostsLike(word, signal) {
  const wanted = word.toLowerCase();
  const card = address(word);
  const all = await everything("os-hypervisors", "hypervisors", {}, signal);
  const bears = (host) => card !== null && host["os-pci:pci_stats"].some((pool) => pool.parent_addr === card);
  return all.filter((host) => host.hypervisor_hostname.toLowerCase().includes(wanted) || String(host.id) === word || bears(host));
}

async function devicesLike(word, signal) {
  const full = address(word);
  const ids = IDS.exec(word);
  if (full !== null) return listed({ address: full }, signal);
  if (ids !== null) return listed({ vendor_id: ids[1], product_id: ids[2] }, signal);
  if (!fits(word)) return [];
  try {
    return [(await get(path`os-pci/${word}`, {}, signal)).pci_device];
  } catch (fault) {
    if (fault instanceof Fault && fault.code < 500 && fault.code !== 401) return [];
    throw fault;
  }
}

async function listed(asked, signal) {
  return (await get("os-pci/detail", { ...asked, limit: MOST + 1 }, signal)).pci_devices;
}

async function heldBy(word, signal) {
  if (word.length > 36) return [];
  if ((await get("os-pci", { instance_uuid: word, limit: 1 }, signal)).pci_devices.length > 0) return [word];
  if (!BEGINNING.test(word)) return [];
  const all = await everything("servers/detail", "servers", {}, signal, () => {}, MOST_INSTANCES);
  return all.map((server) => server.id).filter((uuid) => uuid.toLowerCase().startsWith(word.toLowerCase()));
}

// The way to what was found, where that is a single thing and the word was more than a part of it.
function only({ hosts, devices, instances }) {
  if (hosts.length + devices.length + instances.length !== 1) return null;
  if (hosts.length === 1) return toHost(hosts[0].hypervisor_hostname);
  return devices.length === 1 ? toDevice(devices[0].uuid) : toInstance(instances[0]);
}
