// Asks the API, version 3. What it refuses is a Fault with its own words; where nothing answers, that is Away.

const ROOT = new URL("../", import.meta.url);
const PATIENCE_MS = 30_000;
const LONG_PATIENCE_MS = 75_000; // a claim or an explanation may wait for silent hosts

export class Fault extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Away extends Error {}

// Whether an answer stays the same however often one asks: it is the asking that must change.
export const final = (error) => error instanceof Fault && error.code < 500 && ![408, 429].includes(error.code);

// path`os-pci/${uuid}`: names become one part of the path each.
export function path(parts, ...names) {
  return parts.reduce((told, part, number) => told + encodeURIComponent(names[number - 1]) + part);
}

// Whether a name can be a part of a path at all: some would name another place, or none.
export function fits(name) {
  return name !== "" && name !== "." && name !== ".." && name !== "detail" && !name.includes("/");
}

export function get(where, query = {}, signal = null) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return ask("GET", `v3/${where}${given.length ? `?${new URLSearchParams(given)}` : ""}`, { signal });
}

export function change(method, where, body) {
  return ask(method, `v3/${where}`, { body, patience: LONG_PATIENCE_MS });
}

export function slowly(where, query, signal) {
  const given = new URLSearchParams(query);
  return ask("GET", `v3/${where}?${given}`, { signal, patience: LONG_PATIENCE_MS });
}

// A whole list, or about *most* of it, page by page; *told* hears how much there is so far. Only a link's marker is taken from it: a proxy may
// know this place by another address.
export async function everything(where, key, query, signal, told = () => {}, most = Infinity) {
  const items = [];
  let marker = "";
  do {
    const page = await get(where, { ...query, marker }, signal);
    items.push(...page[key]);
    marker = after(page, key);
    told(items.length);
  } while (marker !== "" && items.length < most);
  return items;
}

// Where the next page begins; empty where there is none.
export function after(page, key) {
  const [next] = page[`${key}_links`] ?? [];
  return next === undefined ? "" : new URL(next.href, ROOT).searchParams.get("marker");
}

export async function ask(method, where, { body, signal = null, patience = PATIENCE_MS } = {}) {
  const answer = await sent(method, where, body, signal, patience);
  const told = await document_of(answer);
  if (answer.ok) return told;
  const [fault] = Object.values(told ?? {});
  throw answer.status === 502 || (answer.status === 503 && !fault)
    ? new Away(`The API is not there: its proxy answers ${answer.status}.`)
    : new Fault(answer.status, fault?.message ?? `The API answers ${answer.status}.`);
}

async function sent(method, where, body, signal, patience) {
  const ends = [AbortSignal.timeout(patience), signal].filter(Boolean);
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(new URL(where, ROOT), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(ends),
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const slow = error.name === "TimeoutError";
    throw new Away(slow ? `The API took more than ${patience / 1000} s.` : "The API doesn’t answer.");
  }
}

async function document_of(answer) {
  try {
    return answer.status === 204 ? null : await answer.json();
  } catch {
    return null;
  }
}
