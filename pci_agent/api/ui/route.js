// Where one is, and the way there: every view has an address behind the #, so that links, back and reload work.
// #/VIEW/NAME?QUERY; the name is one part, escaped, whatever it holds.

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view = "", name = ""] = path.split(/\/(.*)/s);
  return { view, name: unescaped(name), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(view, name = "", query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const asked = given.length ? `?${new URLSearchParams(given)}` : "";
  return `#/${view}${name === "" ? "" : `/${encodeURIComponent(name)}`}${asked}`;
}

export const toHost = (name) => link("host", name);
export const toDevice = (uuid) => link("device", uuid);
export const toFunction = (address, host) => link("function", address, { host });
export const toInstance = (uuid) => link("instance", uuid);

function unescaped(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
