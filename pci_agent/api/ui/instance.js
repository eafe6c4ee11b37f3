// One instance: how each of its requests stands, the devices that it holds, and taking them back, which is asked about
// first. On several hosts, as while it migrates, it is freed on one of them at a time. Whoever may not see the fleet's
// devices, but owns the instance, is shown which ones it holds.

import { act, agreed } from "./ask.js";
import { change, Fault, fits, get, path } from "./api.js";
import { h } from "./dom.js";
import { pciId, plural } from "./format.js";
import { toDevice, toHost } from "./route.js";
import { badge } from "./status.js";
import { empty, table } from "./table.js";

const MOST = 200;
const OVER = new Set(["failed", "freeing", "freed"]);

// A claim that nobody confirmed ends by itself: then it holds nothing any more, and there is nothing to confirm or free.
const lapsed = (request) => request.state === "done" && !request.confirmed && request.devices.length === 0;
const isOver = (request) => OVER.has(request.state) || lapsed(request);

export const takes = (name) => name !== "";

export function open({ name, again }) {
  return {
    title: () => `Instance ${name}`,
    async read(signal) {
      try {
        return await whole(name, signal);
      } catch (fault) {
        if (!(fault instanceof Fault) || fault.code !== 403 || !fits(name)) throw fault;
        return { server: (await get(path`servers/${name}`, {}, signal)).server };
      }
    },
    draw: (data) => [
      h("h1", { tabindex: "-1" }, h("span", { class: "above" }, "Instance "), h("span", { class: "code" }, name)),
      data.server ? owned(data.server["os-pci:pci_devices"]) : all(name, data, again),
    ],
  };
}

async function whole(name, signal) {
  const [page, allocation] = await Promise.all([
    get("os-pci/detail", { instance_uuid: name, limit: MOST }, signal),
    fits(name) ? get(path`os-pci/allocations/${name}`, {}, signal).catch(unknown) : null,
  ]);
  return { devices: page.pci_devices, requests: allocation?.allocation.requests ?? [] };
}

function all(name, { devices, requests }, again) {
  const hosts = [...new Set(devices.map((device) => device.hypervisor_hostname))];
  if (devices.length === 0 && requests.length === 0) {
    return empty("This instance has no PCI device, and has asked for none.", "Is the uuid right? The devices of all instances are under Instances.");
  }
  return [
    h("p", { class: "standing" }, holds(devices, hosts)),
    fits(name) && h("div", { class: "orders" }, buttons(name, requests, hosts, again)),
    held(devices),
    asked(name, requests, again),
  ];
}

function owned(devices) {
  const columns = [
    { name: "Address", head: true, of: (device) => h("span", { class: "code" }, device.address) },
    { name: "UUID", wide: true, of: (device) => h("span", { class: "code" }, device.uuid) },
    { name: "Host", of: (device) => device.hypervisor_hostname },
    { name: "Request", of: (device) => device.request_id && h("span", { class: "code" }, device.request_id) },
  ];
  return [
    h("p", { class: "standing" }, `It holds ${plural(devices.length, "device")}.`),
    table("Devices of this instance", columns, devices, { key: (device) => device.uuid }),
  ];
}

function unknown(fault) {
  if (fault instanceof Fault && fault.code === 404) return null;
  throw fault;
}

function holds(devices, hosts) {
  if (devices.length === 0) return "It holds no device.";
  const on = hosts.map((host, number) => [number > 0 && " and ", h("a", { href: toHost(host) }, host)]);
  return ["It holds ", plural(devices.length, "device"), " on ", on, "."];
}

function buttons(name, requests, hosts, again) {
  const claimed = requests.filter((request) => request.state === "done" && !request.confirmed && !lapsed(request));
  const at = path`os-pci/allocations/${name}`;
  const confirm = async (event) => {
    const button = event.currentTarget;
    const what = `What it claimed becomes its own: ${plural(claimed.reduce((sum, each) => sum + each.devices.length, 0), "device")}. It stays so until it is freed. A domain’s start does this by itself.`;
    if (await agreed({ title: "Confirm its claims?", what, act: "Confirm" })) {
      act(button, () => change("POST", `${at}/confirm`, {}), "Its claims are confirmed.", again);
    }
  };
  const free = (host) => async (event) => {
    const button = event.currentTarget;
    const where = hosts.length > 1 ? ` on ${host}` : "";
    const what = `All that it holds${where} is taken back and may be given to others. What a running domain still has is taken back when the domain lets go of it.`;
    if (await agreed({ title: `Free its devices${where}?`, what, act: "Free" })) {
      const asked = hosts.length > 1 ? `?${new URLSearchParams({ hypervisor: host })}` : "";
      act(button, () => change("DELETE", `${at}${asked}`), `Its devices${where} are freed.`, again);
    }
  };
  return [
    claimed.length > 0 && h("button", { type: "button", key: "confirm", on: { click: confirm } }, "Confirm its claims"),
    hosts.map((host) => h("button", { type: "button", class: "grave", key: host, on: { click: free(host) } }, hosts.length > 1 ? `Free its devices on ${host}` : "Free its devices")),
  ];
}

function held(devices) {
  const columns = [
    { name: "Address", head: true, of: (device) => h("a", { class: "code", href: toDevice(device.uuid) }, device.address) },
    { name: "UUID", wide: true, of: (device) => h("span", { class: "code" }, device.uuid) },
    { name: "PCI ID", of: (device) => h("span", { class: "code" }, pciId(device)) },
    { name: "Type", of: (device) => device.dev_type },
    { name: "Status", of: (device) => badge(device.status) },
    { name: "Host", of: (device) => h("a", { href: toHost(device.hypervisor_hostname) }, device.hypervisor_hostname) },
    { name: "Request", of: (device) => (device.request_id ? h("span", { class: "code" }, device.request_id) : "none: found in a domain") },
  ];
  return h(
    "section",
    { "aria-labelledby": "held" },
    h("h2", { id: "held" }, "Devices"),
    devices.length === 0 ? h("p", { class: "faint" }, "None at the moment.") : table("Devices of this instance", columns, devices, { key: (device) => device.uuid }),
  );
}

function asked(name, requests, again) {
  const free = (request) => async (event) => {
    const button = event.currentTarget;
    const what = `The devices of request ${request.request_id} are taken back and may be given to others. The request serves no more.`;
    if (await agreed({ title: "Free this request?", what, act: "Free" })) {
      const where = `${path`os-pci/allocations/${name}`}?${new URLSearchParams({ request_id: request.request_id })}`;
      act(button, () => change("DELETE", where), `Request ${request.request_id} is freed.`, again);
    }
  };
  const columns = [
    { name: "Request", head: true, of: (request) => h("span", { class: "code" }, request.request_id) },
    { name: "State", of: (request) => stands(request) },
    { name: "Host", of: (request) => (request.hypervisor_hostname ? h("a", { href: toHost(request.hypervisor_hostname) }, request.hypervisor_hostname) : "none") },
    { name: "Devices", wide: true, of: (request) => request.devices.map((device, number) => [number > 0 && ", ", h("a", { class: "code", href: toDevice(device.uuid) }, device.address)]) },
    { name: "Note", wide: true, of: (request) => (lapsed(request) ? "Its claim ended unconfirmed, or its host has yet to tell of it." : request.reason) },
    { name: "Act", of: (request) => !isOver(request) && h("button", { type: "button", on: { click: free(request) } }, "Free ", h("span", { class: "unseen" }, `request ${request.request_id}`)) },
  ];
  return h(
    "section",
    { "aria-labelledby": "asked-for" },
    h("h2", { id: "asked-for" }, "What it asked for"),
    requests.length === 0
      ? h("p", { class: "faint" }, "It asked for nothing here: its devices were found in its domain.")
      : table("Requests of this instance", columns, requests, { key: (request) => request.request_id }),
  );
}

function stands(request) {
  if (lapsed(request)) return "over";
  if (request.state !== "done") return request.state;
  return badge(request.confirmed ? "allocated" : "claimed");
}
