"use strict";
// The tables: order, filters, the normaliser switch, and all of that in the address. Details are made in page_details.js.
document.documentElement.classList.add("on");
const read = id => JSON.parse(document.getElementById(id).textContent);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const data = read("data");
const tables = all("table.main").map((table, board) => ({
  table, board, section: table.closest("section"), sorted: null,
  keys: all("thead tr:last-child th", table).map(head => head.dataset.key || "method"),
  bodies: all("tbody[data-block]", table).map(body => ({
    body, block: body.dataset.block,
    rows: all("tr[data-e]", body).map((tr, place) => ({
      tr, place, name: tr.cells[0].dataset.s.toLowerCase(), keep: tr.dataset.k, cells: [...tr.cells],
      why: tr.nextElementSibling && tr.nextElementSibling.classList.contains("why") ? tr.nextElementSibling : null, detail: null,
      status: tr.classList[0],
    })),
  })),
}));
const rows = tables.flatMap(one => one.bodies.flatMap(body => body.rows));
const form = document.getElementById("filters"), search = document.getElementById("q"), switcher = document.getElementById("norm");
let norm = 0;

// --- order: inside each block, for ranks and budgets of two blocks are not comparable; what is empty goes last -----------
function order(one) {
  const at = one.sorted ? one.keys.indexOf(one.sorted.key) : -1, down = one.sorted && one.sorted.down;
  for (const [place, head] of all("thead tr:last-child th", one.table).entries()) {
    if (place === at) head.setAttribute("aria-sort", down ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
  }
  for (const { body, rows } of one.bodies) {
    const key = row => row.cells[at].dataset.s;
    const ordered = at < 0 ? rows : [...rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "") || a.place - b.place;
      return (down ? -1 : 1) * (at === 0 ? x.localeCompare(y, undefined, { numeric: true }) : Number(x) - Number(y)) || a.place - b.place;
    });
    body.append(...ordered.flatMap(row => [row.tr, row.why, row.detail].filter(Boolean)));
    lines(ordered, at < 0);
  }
}
// A line where the budget changes, while the rows stand by budget.
function lines(ordered, plain) {
  let before = null;
  for (const row of ordered) {
    if (row.tr.hidden) continue;
    row.tr.classList.toggle("new", plain && before !== null && before !== row.keep);
    before = row.keep;
  }
}
for (const one of tables) {
  for (const [at, head] of all("thead tr:last-child th", one.table).entries()) {
    head.firstElementChild.addEventListener("click", () => {
      const key = one.keys[at], was = one.sorted && one.sorted.key === key ? one.sorted : null;
      one.sorted = !was ? { key, down: false } : was.down ? null : { key, down: true };
      order(one);
      remember();
    });
  }
}

// --- filters --------------------------------------------------------------------------------------------------------
const asked = name => all(`[name="${name}"]`, form).filter(box => box.checked).map(box => box.value);
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const blocks = asked("block"), keeps = asked("keep"), states = asked("status"), front = asked("front").length > 0;
  const places = all("select[name]", form).map(select => [select.name, select.value]).filter(([, value]) => value);
  let shown = 0;
  for (const one of tables) {
    const here = places.every(([name, value]) => one.section.dataset[name] === value);
    let left = 0;
    for (const { body, block, rows } of one.bodies) {
      let some = 0;
      for (const row of rows) {
        const list = row.tr.classList;
        const fits = here && words.every(word => row.name.includes(word)) && (!blocks.length || blocks.includes(block))
          && (!keeps.length || keeps.includes(row.keep)) && (!front || list.contains("front") || block === "reference")
          && (!states.length || states.includes(row.status) || (states.includes("lost") && "lost" in row.tr.dataset));
        for (const part of [row.tr, row.why, row.detail]) if (part) part.hidden = !fits;
        some += fits;
      }
      body.hidden = !some;
      left += some;
    }
    one.section.hidden = !here;
    one.table.querySelector("tbody.none").hidden = left > 0;
    shown += left;
    for (const { rows } of one.bodies) lines(rows, !one.sorted);
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length} shown`;
}
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("input", () => { filter(); remember(); });
document.getElementById("clear").addEventListener("click", () => {
  form.reset();
  for (const one of tables) { one.sorted = null; order(one); }
  filter();
  remember();
});

// --- the normaliser: error rates, intervals, differences, ranks and marks of the whole page ---------------------------------
function score(cell, text) {
  const [value, rest] = text.split(" [");
  const bar = cell.querySelector(".bar");
  cell.replaceChildren(make("span", { class: "v" }, value));
  if (rest) cell.append(" ", make("span", { class: "i" }, `[${rest}`));
  return bar;
}
function draw(cell, old, places, dense) {
  if (!places) return;
  const bar = old || make("span", { class: "bar", "aria-hidden": "true" });
  for (const [at, name] of ["--a", "--v", "--b"].entries()) bar.style.setProperty(name, `${places[at]}%`);
  if (dense === null) bar.style.removeProperty("--d"); else bar.style.setProperty("--d", `${dense}%`);
  cell.append(bar);
}
function renormalise(to) {
  if (to === norm || !data.norms[to]) return;
  norm = to;
  if (switcher) switcher.value = String(norm);
  for (const part of all("[data-norm]")) part.hidden = Number(part.dataset.norm) !== norm;
  for (const one of tables) {
    const about = data.norms[norm].boards[one.board];
    for (const [key, title] of Object.entries(about.titles)) {
      const at = one.keys.indexOf(key);
      if (at > 0) one.table.querySelector(`thead th[data-key="${key}"] button`).textContent = title;
    }
    const places = about.keys.map(key => one.keys.indexOf(key));
    for (const { rows } of one.bodies) for (const row of rows) {
      const [marks, bar, cells] = about.rows[row.tr.dataset.e];
      for (const [mark, name] of [["b", "best"], ["p", "front"], ["d", "dominated"]]) row.tr.classList.toggle(name, marks.includes(mark));
      for (const [at, [text, sort]] of cells.entries()) {
        const cell = row.cells[places[at]], key = about.keys[at];
        cell.dataset.s = sort === null ? "" : sort;
        if (key === "score") draw(cell, score(cell, text), bar, about.dense);
        else if (key === "delta") score(cell, text);
        else if (key === "rank") cell.firstElementChild.textContent = text;
        else cell.textContent = text;
      }
    }
    order(one);
  }
  filter();
}
if (switcher) switcher.addEventListener("change", () => { renormalise(Number(switcher.value)); remember(); });

// --- the address: what is shown can be shared -----------------------------------------------------------------------------
function remember() {
  const state = new URLSearchParams();
  if (search.value) state.set("q", search.value);
  for (const name of new Set(all("input[name]", form).map(box => box.name))) if (asked(name).length) state.set(name, asked(name).join(","));
  for (const select of all("select[name]", form)) if (select.value) state.set(select.name, select.value);
  if (norm) state.set("norm", data.norms[norm].name);
  const sorted = tables.filter(one => one.sorted).map(one => `${one.board}.${one.sorted.key}.${one.sorted.down ? "down" : "up"}`);
  if (sorted.length) state.set("sort", sorted.join(","));
  const open = rows.filter(row => row.detail).map(row => row.tr.id);
  if (open.length) state.set("open", open.join(","));
  history.replaceState(null, "", `#${state}`);
}
function recall() {
  const text = location.hash.slice(1);
  if (!text.includes("=")) { if (text) go(document.getElementById(text)); return; }
  const state = new URLSearchParams(text);
  search.value = state.get("q") || "";
  for (const box of all("input[name]", form)) box.checked = (state.get(box.name) || "").split(",").includes(box.value);
  for (const select of all("select[name]", form)) select.value = state.get(select.name) || "";
  for (const one of tables) one.sorted = null;
  for (const part of (state.get("sort") || "").split(",").filter(Boolean)) {
    const [board, key, way] = part.split(".");
    const one = tables[Number(board)];
    if (one && one.keys.includes(key)) one.sorted = { key, down: way === "down" };
  }
  renormalise(Math.max(0, data.norms.findIndex(one => one.name === state.get("norm"))));
  for (const one of tables) order(one);
  filter();
  const open = (state.get("open") || "").split(",");
  for (const row of rows) if (open.includes(row.tr.id) !== Boolean(row.detail)) toggle(row);
}
window.addEventListener("hashchange", recall);

// --- light and dark ---------------------------------------------------------------------------------------------------------
const theme = document.getElementById("theme"), themes = ["auto", "light", "dark"];
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme || "auto") + 1) % 3];
  if (next === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = next;
  theme.lastChild.textContent = ` ${next}`;
  theme.setAttribute("aria-label", `Colours: ${next === "auto" ? "as the system has them" : next}`);
});
