// How numbers, times and names are written.

const NUMBER = new Intl.NumberFormat("en");
const MINUTE = 60, HOUR = 3600, DAY = 86_400;

export const number = (count) => NUMBER.format(count);

// plural(1, "host") is "1 host", plural(2, "host") "2 hosts".
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

// The API's times are UTC; the reader's clock is what is shown, to the second.
export function time(moment) {
  if (!moment) return "never";
  const at = new Date(moment);
  const two = (part) => String(part).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function ago(moment, now = Date.now()) {
  return moment ? `${span((now - new Date(moment)) / 1000)} ago` : "never";
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h`;
  return plural(Math.floor(whole / DAY), "day");
}

// The first part of a uuid says enough in a cell; the rest is in its link.
export const brief = (name) => (/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(name) ? name.slice(0, 8) : name);

export const pciId = (device) => `${device.vendor_id}:${device.product_id}`;

const ADDRESS = /^(?:pci_)?(?:([0-9a-f]{1,8})[:_])?([0-9a-f]{1,2})[:_]([0-9a-f]{1,2})[._]([0-7])$/i;

// The address that a word is short for, in full; null where it is none.
export function address(word) {
  const found = ADDRESS.exec(word);
  if (found === null) return null;
  const [, domain = "0", bus, slot, which] = found;
  return `${domain.padStart(4, "0")}:${bus.padStart(2, "0")}:${slot.padStart(2, "0")}.${which}`.toLowerCase();
}
