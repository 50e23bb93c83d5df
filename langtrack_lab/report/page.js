// A click on a column's head sorts its table: figures from high to low first, names from A.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const number = head.dataset.kind === "number";
    const falling = head.ariaSort ? head.ariaSort === "ascending" : number;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.ariaSort = falling ? "descending" : "ascending";
    const value = (row) => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
    const sign = falling ? -1 : 1;
    const rows = [...body.rows].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (!number) return sign * left.localeCompare(right);
      if (left === "" || right === "") return (left === "") - (right === ""); // the empty ones stay last
      return sign * (left - right);
    });
    body.append(...rows);
  });
}
