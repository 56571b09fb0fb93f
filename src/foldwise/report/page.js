"use strict";

// Theme: the system's, until the button is pressed.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { button.textContent = dark() ? "light" : "dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
})();

// Tables: a click on a head sorts (numbers first downwards), the box above leaves matching rows.
const sortValue = (cell) => {
  const text = cell.dataset.v ?? cell.textContent.trim();
  const number = Number(text.replace(/[,%]/g, ""));
  return text === "" || text === "-" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
};
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), undefined, { numeric: true });

const makeSortable = (box) => {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const numbers = head.classList.contains("n");
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numbers;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [sortValue(row.cells[column]), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null); // what is missing is last
        return down ? compare(b, a) : compare(a, b);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
  const search = box.querySelector("input[type=search]");
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
};
document.querySelectorAll(".sortable").forEach(makeSortable);

// Two runs side by side, from the numbers in the page. Text is only ever set as text.
const element = (name, attributes = {}, ...content) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
};
const sideTable = (head, rows) => {
  const line = (cells, kind) => element("tr", {}, ...cells.map((cell) => element(kind, {}, cell)));
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, line(head, "th")),
    element("tbody", {}, ...rows.map((row) => line(row, "td")))));
};
const picture = (data, names, [id, ...said]) => {
  const shown = data.images[id];
  const image = shown?.src
    ? element("img", { src: shown.src, alt: `image ${id}`, loading: "lazy", class: shown.tiny ? "tiny" : "" })
    : element("div", { class: "none" }, "no image");
  const lines = said.map((text, n) => element("small", {}, `${names[n]}: ${text}`));
  return element("figure", {}, image, element("b", {}, shown?.true ?? ""), ...lines,
    element("small", {}, id));
};

const data = JSON.parse(document.getElementById("data")?.textContent ?? "null");
if (data?.runs?.length > 1) {
  const selects = ["left", "right"].map((id) => document.getElementById(id));
  const result = document.getElementById("side");
  const show = () => {
    const [a, b] = selects.map((select) => Number(select.value));
    const names = [a, b].map((n) => data.runs[n].name);
    const parts = [];
    if (a === b) {
      result.replaceChildren(element("p", { class: "note" }, "Choose two different runs."));
      return;
    }
    const swapped = a > b;
    const pair = data.pairs[swapped ? `${b} ${a}` : `${a} ${b}`];
    parts.push(sideTable(["", ...names], data.facts.map((fact, n) =>
      [fact, data.runs[a].facts[n], data.runs[b].facts[n]])));
    parts.push(element("h3", {}, "Settings that differ"));
    const keys = Object.keys(data.runs[a].settings)
      .filter((key) => data.runs[a].settings[key] !== data.runs[b].settings[key]);
    parts.push(keys.length
      ? sideTable(["setting", ...names], keys.map((key) =>
        [key, data.runs[a].settings[key], data.runs[b].settings[key]]))
      : element("p", { class: "note" }, "None."));
    parts.push(element("h3", {}, "Is one really better?"));
    const lines = pair ? pair.said : ["They share no OOF rows."];
    parts.push(...lines.map((line) => element("p", {}, line)));
    if (pair?.rows?.length) {
      parts.push(element("h3", {}, "Where they disagree most"));
      const shown = pair.rows.map(([id, x, y]) => swapped ? [id, y, x] : [id, x, y]);
      parts.push(element("div", { class: "images" },
        ...shown.map((row) => picture(data, names, row))));
    }
    result.replaceChildren(...parts);
  };
  selects.forEach((select) => select.addEventListener("change", show));
  show();
}
