// How the figures of these chapters look: pages, charts, and boxes with lines between them, as SVG.

export const colours = ["#2f6feb", "#d1570c", "#2a8a5c", "#8250df", "#b3261e"];
export const ink = { text: "#1b1f24", soft: "#6a737d", line: "#d8dee4", faint: "#8d96a0", paper: "#ffffff" };
export const width = 720;

export const range = (count, f) => Array.from({ length: count }, (_, i) => f(i));
const short = (x) => String(Number(x.toPrecision(6)));
const at = (x) => x.toFixed(1);

/** A whole figure. */
export function page({ title, height, parts }) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" ` +
      `font-family="system-ui, sans-serif" font-size="12" fill="${ink.text}">`,
    `<rect width="${width}" height="${height}" fill="${ink.paper}"/>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** Text whose baseline is at y; `anchor` says which of its points is at x. */
export function text(x, y, content, { anchor = "middle", fill = ink.text, size = 12 } = {}) {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" fill="${fill}" font-size="${size}">${content}</text>`;
}

/** A rectangle around (x, y) with a label in its middle. */
export function box(x, y, { wide, high, label = "", fill = ink.paper, stroke = ink.faint, size = 12, round = 4 }) {
  return (
    `<rect x="${at(x - wide / 2)}" y="${at(y - high / 2)}" width="${at(wide)}" height="${at(high)}" rx="${round}" ` +
    `fill="${fill}" stroke="${stroke}"/>${text(x, y + 0.35 * size, label, { size })}`
  );
}

/** Straight pieces through points, with a head at the end unless `head` is false. */
export function arrow(points, { stroke = ink.faint, head = true } = {}) {
  const line = `<polyline points="${points.map((p) => p.map(at).join(",")).join(" ")}" fill="none" stroke="${stroke}"/>`;
  if (!head) return line;
  const [[x0, y0], [x1, y1]] = points.slice(-2);
  const length = Math.hypot(x1 - x0, y1 - y0);
  const [dx, dy] = [(x1 - x0) / length, (y1 - y0) / length];
  const wing = (side) => [x1 - 6 * dx + side * 3 * dy, y1 - 6 * dy - side * 3 * dx].map(at).join(",");
  return `${line}<polygon points="${at(x1)},${at(y1)} ${wing(1)} ${wing(-1)}" fill="${stroke}"/>`;
}

/** Round numbers between two others, about five. */
function ticks(low, high) {
  const rough = (0.8 * (high - low)) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1, (i) => (first + i) * step);
}

/**
 * Lines or dots over x and y, cut off where they leave the ranges; a series is { name, points, dots?, faint? }. `xValue` and
 * `yValue` turn coordinates into what is written at an axis, as for logarithms.
 */
export function chart({ title, xLabel, yLabel, series, x, y, xValue = (v) => v, yValue = (v) => v }) {
  const [height, left, right, top, bottom] = [312, 56, 16, 48, 40];
  const all = series.flatMap(({ points }) => points);
  const span = (values) => [Math.min(...values), Math.max(...values)];
  const [x0, x1] = x ?? span(all.map((p) => p[0]));
  const [low, high] = y ?? span(all.map((p) => p[1]));
  const [y0, y1] = [low - 0.03 * (high - low), high + 0.03 * (high - low)];
  const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
  const py = (v) => height - bottom - ((v - y0) / (y1 - y0)) * (height - top - bottom);
  const line = (ax, ay, bx, by) =>
    `<line x1="${at(ax)}" y1="${at(ay)}" x2="${at(bx)}" y2="${at(by)}" stroke="${ink.line}"/>`;
  const soft = { fill: ink.soft };
  const grid = [
    ...ticks(x0, x1).map(
      (v) => line(px(v), top, px(v), height - bottom) + text(px(v), height - bottom + 16, short(xValue(v)), soft),
    ),
    ...ticks(y0, y1).map(
      (v) =>
        line(left, py(v), width - right, py(v)) +
        text(left - 6, py(v) + 4, short(yValue(v)), { ...soft, anchor: "end" }),
    ),
  ];
  let legend = left;
  const bright = series.filter(({ faint }) => !faint);
  const [keys, shapes] = [[], []];
  for (const one of series) {
    const { name, points, dots, faint } = one;
    const colour = faint ? ink.faint : colours[bright.indexOf(one) % colours.length];
    const dot = (cx, cy) => `<circle cx="${at(cx)}" cy="${at(cy)}" r="3" fill="${colour}"/>`;
    keys.push(
      (dots
        ? dot(legend + 6, top - 14)
        : `<rect x="${at(legend)}" y="${top - 16}" width="12" height="4" fill="${colour}"/>`) +
        text(legend + 17, top - 10, name, { anchor: "start" }),
    );
    legend += 34 + 6.6 * name.length;
    shapes.push(
      dots
        ? points.map((p) => dot(px(p[0]), py(p[1]))).join("")
        : `<polyline points="${points.map((p) => `${at(px(p[0]))},${at(py(p[1]))}`).join(" ")}" fill="none" ` +
            `stroke="${colour}" stroke-width="${faint ? 3 : 1.6}"/>`,
    );
  }
  // Dots on the frame are drawn whole.
  const frame = `x="${left - 4}" y="${top - 4}" width="${width - left - right + 8}" height="${height - top - bottom + 8}"`;
  return page({
    title,
    height,
    parts: [
      `<clipPath id="frame"><rect ${frame}/></clipPath>`,
      ...grid,
      ...keys,
      `<g clip-path="url(#frame)">`,
      ...shapes,
      "</g>",
      text(width - right, height - 6, xLabel, { ...soft, anchor: "end" }),
      text(4, 14, yLabel, { ...soft, anchor: "start" }),
    ],
  });
}
