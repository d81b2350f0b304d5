"use strict";
// Sorting, filtering and the choice of theme. The page says the same without any of it.
(() => {
  const root = document.documentElement;

  // Themes: as the system has it, until somebody chooses.
  const button = document.querySelector("#theme");
  const memory = {
    get() { try { return localStorage.getItem("rtfloor-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("rtfloor-theme", value); } catch { /* pages opened from a file may not */ } },
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const label = () => { button.textContent = dark() ? "light theme" : "dark theme"; };
  if (["light", "dark"].includes(memory.get())) root.dataset.theme = memory.get();
  button.hidden = false;
  label();
  system.addEventListener("change", label);
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    memory.set(root.dataset.theme);
    label();
  });

  // On paper everything is open.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; });

  // Sorting: figures by size, texts by letters; what is missing is last either way.
  const key = (row, place) => {
    const cell = row.cells[place];
    if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
    const text = cell.textContent.trim();
    return text === "–" || text === "" ? null : text;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
  const sort = (table, header) => {
    const place = header.cellIndex;
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentElement.cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [key(row, place), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return descending ? compare(b, a) : compare(a, b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    for (const header of table.tHead.rows[0].cells) {
      header.querySelector("button").addEventListener("click", () => sort(table, header));
    }
  }

  // Filtering: every menu and every word of the search must fit.
  for (const block of document.querySelectorAll(".data")) {
    const bar = block.querySelector(".filters");
    if (!bar) continue;
    const rows = [...block.querySelector("tbody").rows];
    const search = bar.querySelector("[data-search]");
    const menus = [...bar.querySelectorAll("select")];
    const filter = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const fits = wanted.every((word) => text.includes(word))
          && menus.every((menu) => !menu.value || row.cells[menu.dataset.column].textContent === menu.value);
        row.hidden = !fits;
        shown += fits;
      }
      bar.querySelector("output").textContent = `${shown} of ${rows.length}`;
    };
    bar.addEventListener("input", filter);
    bar.hidden = false;
  }
})();
