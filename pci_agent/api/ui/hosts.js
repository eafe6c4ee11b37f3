// What a fleet's hosts add up to. Free is what can be given now: so the free devices of a host that is down, or whose
// agent only observes, are not; with those that nobody holds and nobody can have they are "blocked".

export const reachable = (host) => host.state === "up" && !host.observing;

export function counts(host) {
  return added(host["os-pci:pci_stats"].map((pool) => of(pool, host)));
}

export function of(pool, host) {
  const free = reachable(host) ? pool.free : 0;
  return { free, held: pool.used, blocked: Math.max(0, pool.total - free - pool.used), total: pool.total };
}

export function added(many) {
  const sum = { free: 0, held: 0, blocked: 0, total: 0 };
  for (const each of many) for (const name in sum) sum[name] += each[name];
  return sum;
}

// One line for each physical network and kind of device, by network and ids; devices of no network come last.
export function kinds(hosts) {
  const lines = new Map();
  for (const host of hosts) {
    for (const pool of host["os-pci:pci_stats"]) {
      const { physical_network: network = null, vendor_id, product_id, dev_type } = pool;
      const key = JSON.stringify([network === null, network, vendor_id, product_id, dev_type]);
      const line = lines.get(key) ?? { key, network, vendor_id, product_id, dev_type, hosts: new Set(), parts: [] };
      line.parts.push(of(pool, host));
      line.hosts.add(host.id);
      lines.set(key, line);
    }
  }
  return [...lines.values()]
    .sort((one, other) => compare(one.key, other.key))
    .map(({ parts, hosts: those, ...line }) => ({ ...line, hosts: those.size, ...added(parts) }));
}

// What is amiss with a host, in few words each.
export function remarks(host) {
  const found = [];
  if (host.refused_agent) found.push("another agent asks to speak for it");
  if (host.config_errors?.length) found.push("its configuration is refused");
  if (host.problems?.length) found.push(host.problems.length === 1 ? "1 problem" : `${host.problems.length} problems`);
  if (host.unresolved_devnames?.length) found.push("a devname that no device bears");
  if (host.observing) found.push("observes only");
  if (host.agent_is_older) found.push(`older agent, ${host.agent_version}`);
  return found;
}

const ORDERS = {
  name: (host) => host.hypervisor_hostname,
  state: (host) => host.state,
  free: (host) => host.counts.free,
  held: (host) => host.counts.held,
  blocked: (host) => host.counts.blocked,
  total: (host) => host.counts.total,
  remarks: (host) => remarks(host).length,
};

// The hosts whose name has *find* in it and whose state is *state*, if those are given, in the order asked for.
export function chosen(hosts, { find = "", state = "", sort = "name", down = false }) {
  const wanted = find.toLowerCase();
  const order = Object.hasOwn(ORDERS, sort) ? ORDERS[sort] : ORDERS.name;
  return hosts
    .filter((host) => host.hypervisor_hostname.toLowerCase().includes(wanted) && (state === "" || host.state === state))
    .sort((one, other) => (down ? -1 : 1) * compare(order(one), order(other)) || compare(ORDERS.name(one), ORDERS.name(other)));
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

// compute-2 comes before compute-10.
function compare(one, other) {
  return typeof one === "number" ? one - other : COLLATOR.compare(one, other);
}
