// Sorts a table by a click on a heading, and shows the values of charts at the pointer. The page also works without it.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text);
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
    : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b));
  table.classList.add("sorts");
  [...table.tHead.rows[0].cells].forEach((heading, column, all) => {
    const sort = () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      all.forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)) * (up ? 1 : -1));
      body.append(...rows);
    };
    heading.tabIndex = 0;
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", event => event.key === "Enter" && sort());
  });
}

// Reads an axis from the text that the plot wrote: "log|linear from to start_px end_px unit".
const axis = text => {
  const [kind, from, to, start, end, unit] = text.split(" ");
  return { log: kind === "log", from: +from, to: +to, start: +start, end: +end, unit: unit || "" };
};
const value = ({ log, from, to, start, end, unit }, px) => {
  const share = (px - start) / (end - start);
  const found = log ? from * (to / from) ** share : from + share * (to - from);
  return unit === "beyond" ? `${+(found * 100).toPrecision(2)} % beyond` : `${+found.toPrecision(3)} ${unit}`;
};

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);

for (const plot of document.querySelectorAll("svg.plot")) {
  const pick = plot.dataset.pick === "x" ? 0 : 1;
  const axisX = axis(plot.dataset.x);
  const lines = [...plot.querySelectorAll("[data-name]")].map(path => ({
    name: path.dataset.name,
    group: path.parentNode.getAttribute("class"),
    axisY: axis(path.dataset.y || plot.dataset.y),
    points: path.getAttribute("d").slice(1).split("L").map(point => point.split(" ").map(Number)),
  })).filter(line => line.points[0].length === 2);
  const cursor = plot.appendChild(plot.querySelector("path").cloneNode());
  cursor.setAttribute("class", "cursor");
  cursor.removeAttribute("d");

  const hide = () => { tip.hidden = true; cursor.removeAttribute("d"); };
  const show = event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    const along = pick ? at.y : at.x;
    const distance = point => Math.abs(point[pick] - along);
    const near = lines.map(line => ({ line, point: line.points.reduce((a, b) => (distance(b) < distance(a) ? b : a)) }));
    const best = near.reduce((a, b) => (distance(b.point) < distance(a.point) ? b : a), near[0]);
    if (!best || distance(best.point) > 40) return hide();
    const fixed = best.point[pick];
    const { height } = plot.viewBox.baseVal;
    cursor.setAttribute("d", pick ? `M${axisX.start} ${fixed}H${axisX.end}` : `M${fixed} 20V${height - 36}`);
    const row = (name, text, group) => {
      const div = document.createElement("div");
      const label = document.createElement("span");
      label.textContent = name;
      div.className = group;
      div.append(label, text);
      return div;
    };
    tip.replaceChildren(row(value(pick ? best.line.axisY : axisX, fixed), "", ""),
      ...near.filter(({ point }) => Math.abs(point[pick] - fixed) < 8).map(({ line, point }) =>
        row(line.name, value(pick ? axisX : line.axisY, point[1 - pick]), line.group)));
    tip.hidden = false;
    const { width: w, height: h } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - w - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - h - 4))}px`;
  };
  plot.addEventListener("pointermove", show);
  plot.addEventListener("pointerdown", show);
  plot.addEventListener("pointerleave", hide);
}
