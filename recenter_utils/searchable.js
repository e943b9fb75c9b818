/* Makes every table of a page that has its rows beside it as data one to search and sort. */
for (const data of document.querySelectorAll('.searchable > script[type="application/json"]')) {
  const table = data.parentElement.querySelector("table");
  if (!table || DataTable.isDataTable(table)) continue;
  const { rows, numbers, order } = JSON.parse(data.textContent);
  // A number is shown as its text and sorted by its value; what has none comes first.
  const number = (cell, type) => (type === "display" || type === "filter" ? cell[0] : (cell[1] ?? -Infinity));
  new DataTable(table, {
    data: rows,
    order,
    // Every value is text: markup in it is shown and not followed.
    columns: numbers.map((isNumber) => ({ render: isNumber ? number : DataTable.render.text() })),
    lengthMenu: [10, 25, 100],
    layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
  });
}
