// A function that its host doesn't offer, so that no row tells of it: what its host says of it when it is asked.

import { fits, path, slowly } from "./api.js";
import { h } from "./dom.js";
import { explanation } from "./explanation.js";
import { pciId } from "./format.js";
import { toHost } from "./route.js";

export const takes = fits;

export function open({ name, query, again }) {
  const host = query.host ?? "";
  return {
    once: true,
    title: () => `${name} on ${host}`,
    read: (signal) => slowly(path`os-pci/${name}/explain`, host === "" ? {} : { hypervisor: host }, signal),
    draw: (told) => [
      h("h1", { tabindex: "-1" }, h("span", { class: "above" }, "Function "), h("span", { class: "code" }, name)),
      h("p", { class: "standing" }, told.explanations.map((each) => [h("span", { class: "code" }, pciId(each)), ` ${each.dev_type} `]), "on ", h("a", { href: toHost(told.hypervisor_hostname) }, told.hypervisor_hostname)),
      explanation({ told }, again),
    ],
  };
}
