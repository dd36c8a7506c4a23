"use strict";
// What every page can do: elements, theme, print, sorted tables, and saving what is shown.
const byId = (id) => document.getElementById(id);

// Everything is built with text nodes and attributes: no text is ever read as markup.
const make = (tag, attributes, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
};

// ---- theme
const themes = ["auto", "light", "dark"];
const remember = (theme) => { try { localStorage.setItem("harness-theme", theme); } catch { /* a file may not */ } };
const remembered = () => { try { return localStorage.getItem("harness-theme"); } catch { return null; } };
const setTheme = (theme) => {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
  byId("theme").textContent = `Theme: ${theme}`;
};
let theme = themes.includes(remembered()) ? remembered() : "auto";
setTheme(theme);
byId("theme").addEventListener("click", () => {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  setTheme(theme);
  remember(theme);
});

// What is folded away on a screen belongs on paper.
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });

// ---- tables whose rows a reader can sort: by the number in data-sort, or by the text
const SORTED = { ascending: 1, descending: -1 };
const sortable = (table) => {
  const body = table.tBodies[0];
  const initial = [...body.rows];
  const key = (row, at) => {
    const cell = row.cells[at], number = cell.getAttribute("data-sort");
    return number === null ? cell.textContent.trim() : number === "" ? null : Number(number);
  };
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("n") ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const order = { [first]: second, [second]: null }[head.getAttribute("aria-sort")];
      const next = order === undefined ? first : order;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (next === null) { body.append(...initial); return; }
      head.setAttribute("aria-sort", next);
      const keys = new Map(initial.map((row) => [row, key(row, at)]));
      const compared = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
        : String(a).localeCompare(String(b), "en", { numeric: true }));
      const rows = [...initial].sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (x === null || y === null) return (x === null) - (y === null); // what is not known comes last
        return SORTED[next] * compared(x, y);
      });
      body.append(...rows);
    });
  });
};
for (const table of document.querySelectorAll("table.sortable")) sortable(table);

// ---- on a phone a row is a card whose cells carry their headings; name and verdict need none
for (const table of document.querySelectorAll("table.pinned:not(.wide)")) {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, at) => {
      if (at < 2 && !cell.matches("td.n")) return;
      cell.setAttribute("data-head", heads[at]);
      cell.classList.toggle("long", heads[at].length + cell.textContent.length > 20);
    });
  }
  table.classList.add("cards");
}

// ---- figures other than the headline are hidden until they are asked for
if (byId("beside")) {
  const fold = () => { for (const row of document.querySelectorAll("tr.beside")) row.hidden = !byId("beside").checked; };
  byId("beside").addEventListener("change", fold);
  addEventListener("beforeprint", () => { byId("beside").checked = true; fold(); });
  fold();
}

// ---- saving rows: a text that a spreadsheet would run as a formula is marked as text
const cellOf = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = String(value);
  const safe = /^[\s\p{Cf}]*[=+\-@\t\r\uFF1D\uFF0B\uFF0D\uFF20]/u.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
};
const asCsv = (rows) => {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = [names.map(cellOf), ...rows.map((row) => names.map((name) => cellOf(row[name])))];
  return lines.map((line) => `${line.join(",")}\r\n`).join("");
};
const save = (name, kind, text) => {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = make("a", { download: name });
  link.href = address;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};
// Buttons with data-save="csv" or "json" save what the given function returns.
const saving = (name, rows) => {
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => {
      if (button.getAttribute("data-save") === "csv") save(`${name}.csv`, "text/csv;charset=utf-8", `\ufeff${asCsv(rows())}`);
      else save(`${name}.json`, "application/json", JSON.stringify(rows(), null, 1));
    });
  }
};

// ---- what one row shows: its state, its texts with what differs, its picture
const MARKS = { fixed: "▲ fixed", broken: "▼ broken", missing: "○ missing", unchanged: "– unchanged", answered: "answered" };
const mark = (status, label) =>
  make("span", { class: `mark ${status}` }, MARKS[status] + (label && label !== "missing" ? `: ${label}` : ""));
const oneLine = (text) => (text === null ? "no answer" : text.slice(0, 300).replace(/\s+/g, " ").trim() || "(empty)");

// ---- difference of two texts, word by word (longest common subsequence)
const words = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];
const difference = (one, two) => {
  const a = words(one), b = words(two);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head
    && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail);
  const kept = new Set(), held = new Set();
  if (x.length * y.length <= 2e6) {
    const width = y.length + 1;
    const best = new Uint16Array((x.length + 1) * width);
    for (let i = x.length - 1; i >= 0; i -= 1) {
      for (let j = y.length - 1; j >= 0; j -= 1) {
        best[i * width + j] = x[i] === y[j] ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
      }
    }
    for (let i = 0, j = 0; i < x.length && j < y.length;) {
      if (x[i] === y[j]) { kept.add(head + i); held.add(head + j); i += 1; j += 1; }
      else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
      else j += 1;
    }
  }
  const same = (at, length, common) => at < head || at >= length - tail || common.has(at);
  return [
    a.map((word, at) => [word, same(at, a.length, kept)]),
    b.map((word, at) => [word, same(at, b.length, held)]),
  ];
};
const shown = (parts, tag) => {
  const said = make("div", { class: "said" });
  let run = "", plain = true;
  const close = () => { if (run) said.append(plain ? run : make(tag, {}, run)); run = ""; };
  for (const [word, same] of parts) {
    if (same !== plain) { close(); plain = same; }
    run += word;
  }
  close();
  return said;
};
const paragraph = (label, text) => [
  make("p", { class: "label" }, label),
  make("div", { class: "said" }, text === "" ? "(empty)" : text),
];

let pictures = null;
const picture = (name, question) => {
  pictures = pictures || JSON.parse(byId("pictures").textContent);
  const none = () => make("div", { class: "nopicture" }, "no picture");
  if (!Object.hasOwn(pictures, name)) return none();
  const image = make("img", { alt: `Image of the question: ${oneLine(question)}`, decoding: "async" });
  const enlarge = make("button", { type: "button", class: "zoom", "aria-label": "Enlarge the image" }, image);
  image.addEventListener("error", () => enlarge.replaceWith(none()));
  image.src = pictures[name];
  enlarge.addEventListener("click", () => {
    byId("large-image").src = image.src;
    byId("large-image").alt = image.alt;
    byId("large").showModal();
  });
  return enlarge;
};
if (byId("large")) byId("large").addEventListener("click", () => byId("large").close());
