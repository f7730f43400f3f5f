// What a row unfolds to. Everything that comes from a record is set as text, never as markup.
let held = null;
function toggle(row, wanted = !row.detail) {
  if (wanted === Boolean(row.detail)) return;
  const button = row.tr.querySelector(".fold");
  button.setAttribute("aria-expanded", String(wanted));
  if (!wanted) {
    row.detail.remove();
    row.detail = null;
    button.removeAttribute("aria-controls");
    return;
  }
  held = held || read("details");
  const inner = make("div", { class: "inner" });
  fill(inner, held.entries[row.tr.dataset.e]);
  row.detail = make("tr", { class: "detail", id: `${row.tr.id}-more` }, make("td", { colspan: row.cells.length }, inner));
  row.detail.hidden = row.tr.hidden;
  (row.why || row.tr).after(row.detail);
  button.setAttribute("aria-controls", row.detail.id);
}
function fill(inner, told) {
  for (const [title, pairs] of told.groups) {
    const list = make("dl");
    for (const [name, value] of pairs) list.append(make("dt", {}, name), make("dd", {}, make("bdi", { dir: "auto" }, value)));
    const part = make("div", {}, make("h4", {}, title), list);
    if (title === "Provenance" && told.command) part.append(command(told.command));
    inner.append(part);
  }
  if (told.density) inner.append(densities(told.density));
  if (told.no_density) inner.append(make("p", { class: "all soft" }, told.no_density));
  if (told.samples && told.samples.length) inner.append(samples(told.samples));
  if (told.no_samples) inner.append(make("p", { class: "all note" }, told.no_samples));
}
function command(text) {
  const button = make("button", { type: "button" }, "Copy");
  const code = make("code", { tabindex: "0" });
  text.split(/ (?=--)/).forEach((part, at) => code.append(at ? " " : "", make("span", {}, part))); // breaks before options only
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch { // a page from disk may not have the clipboard: the text is selected, so that Ctrl+C copies it
      getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  });
  return make("div", { class: "command" }, code, button);
}

// --- densities ----------------------------------------------------------------------------------------------------------
const draws = (tag, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
function densities(stacks) {
  const every = test => stacks.every(one => one.cells.every(line => line.every(cell => !cell || test(cell))));
  const same = every(([nominal, stored]) => Math.abs(nominal - stored) < 0.001), full = every(([, stored]) => stored > 0.9995);
  const kinds = same ? [["nominal and stored alike", 0]] : full ? [["nominal", 0]] : [["nominal", 0], ["stored", 1]];
  const part = make("div", { class: "all" }, make("h4", {}, "What is kept, by layer and matrix, %"));
  if (full) part.append(make("p", { class: "soft" }, "Stored: all of it. Zeros are saved and multiplied like any other weight."));
  for (const [name, at] of kinds) part.append(make("div", { class: "heat" }, ...stacks.map(stack => picture(stack, at, name))));
  return part;
}
function picture(one, at, kind) {
  const wide = 46, high = 20, left = 30, names = one.parts.map(part => part.split(" "));
  const long = names.some(name => name.length > 1), top = long ? 32 : 18;
  const svg = draws("svg", { width: left + wide * one.parts.length + 1, height: top + high * one.layers.length + 1, role: "img" });
  svg.append(draws("title", {}, `${one.stack}, ${kind}: kept per cent of each matrix`));
  names.forEach((name, x) => {
    const middle = { x: left + wide * (x + 0.5), "text-anchor": "middle" };
    if (name.length > 1) svg.append(draws("text", { ...middle, y: 12 }, name.slice(0, -1).join(" ")));
    svg.append(draws("text", { ...middle, y: top - 5 }, name[name.length - 1]));
  });
  one.layers.forEach((layer, y) => {
    svg.append(draws("text", { x: left - 6, y: top + high * y + 14, "text-anchor": "end" }, String(layer)));
    one.cells[y].forEach((cell, x) => {
      if (!cell) return;
      const value = cell[at], place = { x: left + wide * x, y: top + high * y, width: wide, height: high };
      svg.append(draws("rect", { ...place, style: `fill: rgb(var(--heat) / calc(var(--top) * ${value}))` }));
      svg.append(draws("text", { x: place.x + wide / 2, y: place.y + 14, "text-anchor": "middle" }, written(value)));
    });
  });
  return make("figure", {}, make("figcaption", {}, `${one.stack}, ${kind}`), svg);
}
const written = value => value > 0 && value < 0.001 ? "<0.1" : String(Number((100 * value).toFixed(1)));

// --- samples --------------------------------------------------------------------------------------------------------------
function samples(list) {
  const part = make("div", { class: "all" }, make("h4", {}, `Transcripts of ${held.split}`));
  const key = make("p", { class: "soft" }, "Against the reference: ", make("mark", {}, "another word"), " ", make("del", {}, "left out"), " ", make("ins", {}, "put in"), `. ${held.note}`);
  part.append(key, ...list.map(sample));
  return part;
}
function sample(one) {
  const [errors, length] = one.errors;
  const list = make("dl", {}, ...line("reference", one.reference));
  if (one.dense) list.append(...line(`dense (${one.dense_errors})`, one.dense));
  list.append(...line(`this (${errors})`, one.this));
  return make("div", { class: "sample" }, make("p", {}, `${one.why}: ${errors} error${errors === 1 ? "" : "s"} against ${length} ${one.unit} · `, make("bdi", { dir: "auto" }, one.id)), list);
}
// dir="auto" does not look into marked words, and takes the names of signs that are written out for letters.
function direction(text) {
  const letter = text.replace(/⟦[^⟧]*⟧/g, "").match(/\p{L}/u);
  return letter && /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u.test(letter[0]) ? "rtl" : "ltr";
}
function line(name, text) {
  const said = make("bdi", { dir: direction(text.parts.map(part => part[1]).join(" ")) });
  text.parts.forEach(([what, word, old], at) => {
    if (at) said.append(text.gap);
    const tag = { s: "mark", d: "del", i: "ins" }[what];
    if (!tag) said.append(word);
    else said.append(make(tag, { title: what === "s" ? `instead of: ${old}` : what === "d" ? "left out" : "put in" }, make("bdi", { dir: direction(word) }, word)));
  });
  const place = make("dd", {}, said);
  if (!text.parts.length) said.append(make("span", { class: "soft" }, "(nothing)"));
  if (text.note) place.append(" ", make("small", {}, text.note));
  return [make("dt", {}, name), place];
}

// --- getting about ----------------------------------------------------------------------------------------------------------
const byId = new Map(rows.map(row => [row.tr.id, row]));
function go(target) {
  if (!target) return;
  const row = byId.get(target.id);
  if (!row) { target.scrollIntoView(); return; }
  if (row.tr.hidden) document.getElementById("clear").click();
  toggle(row, true);
  row.tr.scrollIntoView({ block: "center", inline: "nearest" });
  row.tr.querySelector(".fold").focus({ preventScroll: true });
  row.tr.classList.add("flash");
  setTimeout(() => row.tr.classList.remove("flash"), 2000);
  remember();
}
document.addEventListener("click", event => {
  const button = event.target.closest(".fold");
  if (button) { toggle(byId.get(button.closest("tr").id)); remember(); return; }
  const link = event.target.closest("a[href^='#r']");
  if (link) { event.preventDefault(); go(document.getElementById(link.getAttribute("href").slice(1))); }
});
document.addEventListener("prunebench:entry", event => go((rows.find(row => row.tr.dataset.e === event.detail && !row.tr.hidden) || rows.find(row => row.tr.dataset.e === event.detail) || {}).tr));
const watcher = new ResizeObserver(found => { for (const one of found) one.target.style.setProperty("--room", `${one.target.clientWidth}px`); });
for (const box of all(".wide")) watcher.observe(box);
for (const one of tables) order(one);
filter();
recall();
