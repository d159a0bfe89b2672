"use strict";
(() => {
  const table = document.querySelector("table");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const text = document.getElementById("text");
  const status = document.getElementById("status");
  const shown = document.getElementById("shown");

  // A number where the cell has one, else its text. Cells without a value come last, whatever the direction.
  function key(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return cell.dataset.v === "" ? null : Number(cell.dataset.v);
    return cell.textContent;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  function sort(column, direction) {
    const keyed = rows.map((row, i) => ({ row, i, key: key(row, column) }));
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.i - b.i;
      return direction * compare(a.key, b.key) || a.i - b.i;
    });
    body.append(...keyed.map((entry) => entry.row));
  }

  function filter() {
    const wanted = text.value.toLowerCase();
    let n = 0;
    for (const row of rows) {
      const found = row.dataset.status;
      const fits = status.value === "" || (status.value === "bad" ? found !== "0" : found === status.value);
      row.hidden = !(fits && row.textContent.toLowerCase().includes(wanted));
      n += !row.hidden;
    }
    shown.textContent = n + " of " + rows.length;
  }

  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    head.addEventListener("click", () => {
      const isAscending = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isAscending ? "descending" : "ascending");
      sort(column, isAscending ? -1 : 1);
    });
  });
  text.addEventListener("input", filter);
  status.addEventListener("change", filter);
  filter();
})();
