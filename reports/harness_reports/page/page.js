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

// ---- figures beside the headline are folded away until they are asked for
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

