// Tables that stay tables: on a narrow screen each row becomes a block that names its cells, and the roles, which
// another display takes from a table's elements, are said aloud.

import { h } from "./dom.js";

// columns: {name, of(item): content, sort?: key, number?: true, head?: true}. *sorted* is {key, down, by(key)} where the
// reader may sort. Of *many* rows each is short on a narrow screen, its cells not named. Each row's key keeps it the same row over refreshes.
export function table(caption, columns, items, { key = (item, number) => number, sorted = null, many = false } = {}) {
  return h(
    "table",
    { role: "table", class: many ? "many" : null },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => heading(column, sorted)))),
    h("tbody", { role: "rowgroup" }, items.map((item, number) => row(columns, item, key(item, number)))),
  );
}

function row(columns, item, key) {
  return h(
    "tr",
    { role: "row", key },
    columns.map((column) =>
      h(
        column.head ? "th" : "td",
        {
          role: column.head ? "rowheader" : "cell",
          scope: column.head ? "row" : null,
          class: column.number ? "number" : column.wide ? "wide" : null,
          "data-name": column.name,
        },
        column.of(item),
      ),
    ),
  );
}

function heading(column, sorted) {
  const key = sorted && column.sort;
  const direction = key && sorted.key === key ? (sorted.down ? "descending" : "ascending") : null;
  return h(
    "th",
    { role: "columnheader", scope: "col", "aria-sort": direction, class: column.number ? "number" : null, key: column.name },
    key ? h("button", { type: "button", class: "sort", on: { click: () => sorted.by(key) } }, column.name, arrow(direction)) : column.name,
  );
}

function arrow(direction) {
  return h("span", { class: "arrow", "aria-hidden": "true" }, { ascending: "▲", descending: "▼" }[direction] ?? "");
}

// Where a list is empty: what that means, and what to do about it.
export function empty(what, cure) {
  return h("p", { class: "empty" }, h("strong", null, what), " ", cure);
}
