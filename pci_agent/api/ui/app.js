// Puts the page together: the address says which view is open; the view reads, draws, and is read and drawn again.
// What was read is kept while the API is away, and said to be old.

import { Fault, final } from "./api.js";
import { tell, untell } from "./ask.js";
import { h } from "./dom.js";
import * as device from "./device.js";
import * as devices from "./devices.js";
import { span, time } from "./format.js";
import * as unlisted from "./function.js";
import * as host from "./host.js";
import * as instance from "./instance.js";
import * as instances from "./instances.js";
import * as overview from "./overview.js";
import { patch } from "./patch.js";
import { Refresh } from "./refresh.js";
import { link, parse } from "./route.js";
import * as search from "./search.js";
import { closed, session, signingIn, signOut } from "./session.js";
import { empty } from "./table.js";

const VIEWS = new Map(Object.entries({ "": overview, devices, instances, host, device, function: unlisted, instance, search }));
const NAV = [["", "Fleet"], ["devices", "Devices"], ["instances", "Instances"]];
const WITHIN = new Map([["host", ""], ["device", "devices"], ["function", ""], ["instance", "instances"]]);
const KEPT = 8;

const main = document.getElementById("main");
const kept = new Map(); // what was read last at an address, and how far down the reader was
let who = null;
let open = null; // {view, refresh, hash, busy}
let followed = false; // whether a link led here, rather than back, forward or the browser itself

start();

async function start() {
  document.addEventListener("click", (event) => (followed = event.target.closest("a") !== null || followed));
  document.getElementById("skip").addEventListener("click", skip);
  document.getElementById("search").addEventListener("submit", find);
  addEventListener("hashchange", arrive);
  history.scrollRestoration = "manual";
  setInterval(age, 1000);
  await enter();
}

// Learns who is looking, then shows what they came for.
async function enter(notice = null) {
  try {
    who = await session();
  } catch (fault) {
    if (fault instanceof Fault && fault.code === 404) who = { auth: "noauth", user: null };
    else return void (patch(main, [trouble(fault)]), setTimeout(enter, 5000));
  }
  named();
  if (closed(who)) ask(notice);
  else arrive();
}

function ask(notice) {
  leave();
  kept.clear(); // whoever signs in next may not be who was here
  navigation(null);
  patch(document.getElementById("freshness"), []);
  const done = (told) => ((who = told), named(), untell(), main.replaceChildren(), arrive());
  main.replaceChildren(...signingIn({ done, notice }).filter(Boolean));
  document.title = "Sign in · pci-agent";
  main.querySelector("input").focus();
}

function arrive() {
  if (who === null || closed(who)) return;
  leave();
  untell();
  const hash = location.hash || "#/";
  const { view, name, query } = parse(hash);
  const module = VIEWS.get(view);
  navigation(view);
  const at = { hash, busy: null, fresh: followed, drawn: false };
  followed = false;
  open = at;
  if (module === undefined || module.takes?.(name) === false) return nothing();
  at.view = module.open({
    name,
    query,
    busy: (told) => ((at.busy = told), freshness()),
    redraw: () => draw(at),
    again: () => at.refresh.now(),
    steer: (changed) => steer(at, view, name, query, changed),
    go: (there) => ((followed = true), (location.hash = there)),
    replace: (there) => ((followed = true), location.replace(there)),
  });
  const known = kept.get(hash);
  at.refresh = new Refresh((signal) => at.view.read(signal), () => open === at && draw(at), at.view.once);
  if (known) Object.assign(at.refresh.state, { data: known.data, at: known.at });
  main.replaceChildren();
  draw(at);
  at.refresh.now();
}

function nothing() {
  document.title = "Nothing is here · pci-agent";
  patch(main, [h("h1", { tabindex: "-1" }, "Nothing is here"), empty("This page has no such view.", h("a", { href: "#/" }, "To the fleet"))]);
}

// Changes what a view shows of what it has read; the address says so too, and nothing is read anew.
function steer(at, view, name, query, changed) {
  for (const key of Object.keys(query)) delete query[key];
  Object.assign(query, Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== "")));
  at.hash = link(view, name, query);
  history.replaceState(null, "", at.hash);
  draw(at);
}

function leave() {
  if (open === null) return;
  const { data, at } = open.refresh?.state ?? {};
  if (data) {
    kept.delete(open.hash);
    kept.set(open.hash, { data, at, scroll: scrollY });
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }
  open.refresh?.end();
  open.view?.end?.();
  open = null;
}

function draw(at) {
  if (open !== at || !at.refresh) return;
  const { data, error } = at.refresh.state;
  if (error instanceof Fault && error.code === 401) return over(at);
  document.title = `${at.view.title(data)} · pci-agent`;
  const within = main.contains(document.activeElement);
  if (data !== null) patch(main, at.view.draw(data).flat(Infinity).filter(Boolean));
  else patch(main, error ? refused(at, error) : [h("p", { class: "reading", key: "reading" }, "Reading…")]);
  if (within && !main.contains(document.activeElement)) main.querySelector("h1")?.focus(); // what had the focus is gone
  main.toggleAttribute("data-old", data !== null && error !== null);
  freshness();
  if (!at.drawn && data !== null) settle(at);
}

function over(at) {
  at.refresh.end();
  enter("The session is over: sign in again.");
}

// The first drawing: a reader who followed a link begins at the heading, one who went back is where they were.
function settle(at) {
  at.drawn = true;
  if (!at.fresh) return void scrollTo(0, kept.get(at.hash)?.scroll ?? 0);
  scrollTo(0, 0);
  if (document.activeElement === document.body || document.activeElement?.closest("#search, #nav") || !document.activeElement?.isConnected) {
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
}

// A view whose reader wrote what the API can't use shows what they wrote, to be mended.
function refused({ view }, fault) {
  const own = fault instanceof Fault && fault.code === 400 ? view.refused?.(fault) : null;
  return own ? own.flat(Infinity).filter(Boolean) : [trouble(fault)];
}

function trouble(fault) {
  const code = fault instanceof Fault ? fault.code : null;
  const cure = {
    403: ["What your own instances hold is under ", h("a", { href: link("instances") }, "Instances"), "."],
    404: h("a", { href: "#/" }, "To the fleet"),
  }[code];
  return h("div", { class: "trouble", key: "trouble" }, h("h1", { tabindex: "-1" }, { 403: "It isn’t for you", 404: "It isn’t there" }[code] ?? "It can’t be shown"), empty(fault.message, cure ?? (final(fault) ? "Asking again would not change that." : "It is tried again by itself.")));
}

function freshness() {
  if (open?.refresh === undefined) return;
  const { error, at, data } = open.refresh.state;
  const again = h("button", { type: "button", class: "plain", key: "again", on: { click: () => open?.refresh?.now() } }, error ? "Try now" : "Refresh");
  const old = error && data !== null;
  patch(document.getElementById("freshness"), [
    old &&
      h(
        "p",
        { class: "bad", role: "alert", key: "bad" },
        h("strong", null, error.message),
        ` Shown is what was read at ${time(at)}. `,
      ),
    h("p", { class: "age", key: "age" }, h("span", { id: "age" }, told()), " ", again),
  ].filter(Boolean));
}

function age() {
  const place = document.getElementById("age");
  if (place !== null && place.textContent !== told()) place.textContent = told();
}

function told() {
  const { at, error, next, busy, data } = open?.refresh?.state ?? {};
  if (busy && data === null) return open.busy ?? "Reading…";
  if (error && final(error)) return "";
  if (error) return next ? `Tried again in ${span((next - Date.now()) / 1000)}` : "Trying again…";
  return at ? `Read ${span((Date.now() - at) / 1000)} ago` : "";
}

function navigation(view) {
  const here = view === null ? null : (WITHIN.get(view) ?? view);
  const item = ([to, name]) => h("a", { href: link(to), "aria-current": to === here ? "page" : null, key: to }, name);
  patch(document.getElementById("nav"), view === null ? [] : NAV.map(item));
  document.getElementById("search").hidden = view === null;
}

function named() {
  const leaveNow = async () => {
    try {
      await signOut();
    } catch (fault) {
      return tell(fault.message, { bad: true });
    }
    enter("You are signed out.");
  };
  const { auth, user } = who;
  const shown = user
    ? [h("span", { class: "user" }, user.name, h("span", { class: "faint" }, ` ${user.project}`)), auth !== "noauth" && h("button", { type: "button", class: "plain", on: { click: leaveNow } }, "Sign out")]
    : [];
  patch(document.getElementById("who"), shown.filter(Boolean));
}

function skip(event) {
  event.preventDefault();
  (main.querySelector("h1") ?? main).focus();
}

function find(event) {
  event.preventDefault();
  const word = event.target.elements.q.value.trim();
  if (word === "") return;
  followed = true;
  const there = link("search", "", { q: word });
  if (location.hash === there) arrive();
  else location.hash = there;
}
