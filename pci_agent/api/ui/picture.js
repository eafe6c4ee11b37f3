// A host as a picture: its NUMA nodes, on them the cards with their VFs, each function a cell with its status.
// A PF that isn't offered itself is still drawn for its VFs, by its address.

import { h, unseen } from "./dom.js";
import { brief, pciId, plural } from "./format.js";
import { toDevice, toFunction } from "./route.js";
import { kind, shape } from "./status.js";

// [{node, cards: [{address, pf, vfs}], alone: [device]}], by node; those without one come last.
export function layout(devices) {
  const nodes = new Map();
  const at = (node) => nodes.get(node) ?? nodes.set(node, { node, cards: new Map(), alone: [] }).get(node);
  const cardOf = (node, address) => {
    const { cards } = at(node);
    return cards.get(address) ?? cards.set(address, { address, pf: null, vfs: [] }).get(address);
  };
  for (const device of [...devices].sort(byAddress)) {
    if (device.dev_type === "type-PF") cardOf(device.numa_node, device.address).pf = device;
    else if (device.parent_addr) cardOf(device.numa_node, device.parent_addr).vfs.push(device);
    else at(device.numa_node).alone.push(device);
  }
  return [...nodes.values()]
    .sort((one, other) => (one.node ?? Infinity) - (other.node ?? Infinity))
    .map((each) => ({ ...each, cards: [...each.cards.values()] }));
}

const width = (address) => address.padStart(16, "0");
const byAddress = (one, other) => (width(one.address) < width(other.address) ? -1 : 1);

export function picture(devices) {
  return h(
    "div",
    { class: "picture", on: { pointerover: related, focusin: related, pointerout: unrelated, focusout: unrelated } },
    layout(devices).map(({ node, cards, alone }) => {
      const name = node === null ? "No NUMA node" : `NUMA node ${node}`;
      return h(
        "section",
        { class: "node", key: name, "aria-label": name },
        h("h3", null, name, " ", h("span", { class: "faint" }, plural(cards.reduce((sum, card) => sum + card.vfs.length + (card.pf ? 1 : 0), alone.length), "device"))),
        cards.map(drawnCard),
        alone.length > 0 && h("div", { class: "alone" }, h("h4", null, "Other functions"), h("ul", { class: "cells" }, alone.map((device) => cell(device, AT_BUS)))),
      );
    }),
  );
}

function drawnCard({ address, pf, vfs }) {
  const facts = pf ? [pciId(pf), pf.extra_info.netdevs, pf.extra_info.driver, pf.tags.physical_network] : [];
  const unlisted = () => ["the PF itself is not offered: ", h("a", { href: toFunction(address, vfs[0].hypervisor_hostname) }, "why?", unseen(` ${address}`))];
  return h(
    "article",
    { class: "card", key: address, "aria-label": `Card ${address}` },
    h("h4", null, h("span", { class: "code" }, address), " ", h("span", { class: "faint" }, pf ? facts.filter(Boolean).join(" · ") : unlisted())),
    pf && h("ul", { class: "cells of-pf" }, cell(pf, AT_SLOT, pf.status_reason)),
    vfs.length > 0 && h("ul", { class: "cells", "aria-label": `VFs of ${address}` }, vfs.map((device) => cell(device))),
  );
}

// How much of an address is seen in a cell; all of it is read out. On a card, domain and bus are seen once.
const AT_SLOT = /[^:]*$/, AT_BUS = /[^:]*:[^:]*$/;

function cell(device, shown = AT_SLOT, reason = null) {
  const { address, extra_info: facts, server_uuid: holder, status } = device;
  const [short] = shown.exec(address) ?? [address];
  const name = new Map([["type-PF", "PF"], ["type-VF", facts.vf_index === undefined ? "VF" : `VF ${facts.vf_index}`]]).get(device.dev_type);
  return h(
    "li",
    { key: device.uuid },
    h(
      "a",
      {
        class: `cell is-${kind(status)}`,
        href: toDevice(device.uuid),
        "data-holder": holder,
        "data-group": facts.iommu_group,
        title: [address, status, device.status_reason, holder && `held by ${holder}`].filter(Boolean).join("\n"),
      },
      h("span", { class: "cell-name" }, shape(status), unseen(address), h("span", { class: "code", "aria-hidden": "true" }, short), h("span", { class: "cell-kind" }, " ", name ?? pciId(device))),
      h("span", { class: "cell-status" }, " ", status, reason && `: ${reason}`),
      reason === null && status === "unavailable" && device.status_reason && h("span", { class: "cell-reason" }, unseen(": "), device.status_reason),
      h(
        "span",
        { class: "cell-more" },
        holder && [unseen(" held by "), h("span", { class: "code" }, brief(holder))],
        facts.iommu_group !== undefined && h("span", { class: "group" }, unseen(", IOMMU group ", facts.iommu_group), h("span", { "aria-hidden": "true" }, "g", facts.iommu_group)),
      ),
    ),
  );
}

// What has the same holder, or the same IOMMU group, as what is pointed at is shown with it.
function related(event) {
  const from = event.target.closest(".cell");
  for (const other of from ? event.currentTarget.querySelectorAll(".cell") : []) {
    const same = ["holder", "group"].filter((name) => from.dataset[name] && from.dataset[name] === other.dataset[name]);
    if (other !== from && same.length) other.dataset.kin = same[0];
    else delete other.dataset.kin;
  }
}

function unrelated(event) {
  for (const cell of event.currentTarget.querySelectorAll("[data-kin]")) delete cell.dataset.kin;
}
