// The learning curve: accuracy over labels, with the interval as a band. Drawn here: no chart library, no eval.

const NS = "http://www.w3.org/2000/svg";
const WIDTHS = { least: 330, most: 900 };
const H = 300;
const PAD = { left: 48, right: 16, top: 12, bottom: 40 };

function draw(tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(value);
  return found;
}

// One unit is one pixel, so that the words are readable on a phone too.
function render(svg, points) {
  const W = Math.max(WIDTHS.least, Math.min(WIDTHS.most, svg.parentElement.clientWidth || WIDTHS.most));
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  const most = Math.max(...points.map((point) => point.labels), 1);
  const lows = points.map((point) => point.low ?? point.value);
  const floor = Math.max(0, Math.floor((Math.min(...lows) - 0.02) * 10) / 10);
  const x = (labels) => PAD.left + (labels / most) * (W - PAD.left - PAD.right);
  const y = (value) => H - PAD.bottom - ((value - floor) / (1 - floor || 1)) * (H - PAD.top - PAD.bottom);
  const parts = [];
  for (const value of ticks(floor, 1, 5)) {
    parts.push(draw("line", { class: "grid", x1: PAD.left, x2: W - PAD.right, y1: y(value), y2: y(value) }));
    parts.push(draw("text", { x: PAD.left - 8, y: y(value) + 4, "text-anchor": "end" }, `${Math.round(value * 100)} %`));
  }
  for (const labels of ticks(0, most, W / 120)) {
    parts.push(draw("text", { x: x(labels), y: H - PAD.bottom + 20, "text-anchor": "middle" }, labels.toLocaleString("en")));
  }
  parts.push(draw("text", { x: (PAD.left + W - PAD.right) / 2, y: H - 2, "text-anchor": "middle" }, "labels"));
  const banded = points.filter((point) => point.low !== null && point.high !== null);
  if (banded.length > 1) {
    const upper = banded.map((point) => `${x(point.labels)},${y(point.high)}`);
    const lower = banded.map((point) => `${x(point.labels)},${y(point.low)}`).reverse();
    parts.push(draw("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  }
  parts.push(draw("polyline", { class: "line", points: points.map((point) => `${x(point.labels)},${y(point.value)}`).join(" ") }));
  for (const point of points) {
    const dot = draw("circle", { class: "dot", cx: x(point.labels), cy: y(point.value), r: points.length > 40 ? 2 : 4 });
    const span = point.low === null ? "" : ` (${(point.low * 100).toFixed(1)} to ${(point.high * 100).toFixed(1)} %)`;
    dot.append(draw("title", {}, `${point.labels} labels: ${(point.value * 100).toFixed(1)} %${span}`));
    parts.push(dot);
  }
  svg.replaceChildren(...parts);
}

const drawings = new WeakMap();

export default function ({ parentElement, data }) {
  const svg = parentElement.querySelector('[data-at="svg"]');
  parentElement.querySelector('[data-at="caption"]').textContent = data.caption;
  svg.setAttribute("aria-label", data.caption);
  drawings.get(parentElement)?.disconnect();
  const observer = new ResizeObserver(() => render(svg, data.points));
  drawings.set(parentElement, observer);
  observer.observe(svg.parentElement);
  return () => observer.disconnect();
}
