// The figures that are not charts: what moves what, the tree of a scan, the block.
import { device, nn, ops, Tensor } from "../../dist/index.js";
import { arrow, box, colours, ink, page, range, text, width } from "./drawing.mjs";

// The same picture on every machine.
const cpu = device("cpu");

/** How much each step of the input moves each step of the output, (length, length), by autograd. */
async function influence(delta) {
  const length = delta.length;
  const place = { device: cpu };
  const ones = Tensor.ones([1, length, 1], place);
  const rows = [];
  for (let t = 0; t < length; t++) {
    const u = Tensor.zeros([1, length, 1], { ...place, requiresGrad: true });
    const y = ops.selectiveScan(
      u,
      Tensor.from(delta, [1, length, 1], place),
      Tensor.full([1, 1], -0.25, place),
      ones,
      ones,
    );
    y.backward(
      Tensor.from(
        range(length, (s) => (s === t ? 1 : 0)),
        [1, length, 1],
        place,
      ),
    );
    rows.push(await u.grad.data());
    u.grad.dispose();
  }
  return rows;
}

export async function selection() {
  const [cell, top, first, apart] = [10, 66, 46, 228];
  const inputs = ["a.b..c...d....e...", "...a.b.c.....d..e."];
  const panels = [
    {
      name: "delta is a number: any input",
      colour: colours[0],
      texts: inputs[0].replaceAll(/./g, "?"),
      delta: () => 1,
    },
    ...inputs.map((texts, i) => ({
      name: `delta of the token: input ${i + 1}`,
      colour: colours[1],
      texts,
      delta: (token) => (token === "." ? 0 : 1),
    })),
  ];
  const parts = [];
  for (const [i, { name, colour, texts, delta }] of panels.entries()) {
    const tokens = [...texts];
    const left = first + i * apart;
    const rows = await influence(tokens.map(delta));
    parts.push(text(left, 28, name, { anchor: "start" }));
    for (const [s, token] of tokens.entries())
      parts.push(text(left + (s + 0.5) * cell, top - 8, token, { fill: ink.soft }));
    for (const [t, row] of rows.entries()) {
      for (const [s, x] of row.entries()) {
        const place = `x="${left + s * cell}" y="${top + t * cell}" width="${cell - 1}" height="${cell - 1}"`;
        parts.push(
          `<rect ${place} fill="${s > t ? "#f3f5f7" : colour}" fill-opacity="${s > t ? 1 : Number(x.toFixed(2))}"/>`,
        );
      }
    }
  }
  const size = panels[0].texts.length * cell;
  parts.push(
    text(first - 10, top + 8, "t", { anchor: "end", fill: ink.soft }),
    text(width - 8, top + size + 24, "row t, column s: how much u[s] moves y[t]; white is not at all", {
      anchor: "end",
      fill: ink.soft,
    }),
  );
  return page({ title: "What moves what, without and with selection", height: top + size + 34, parts });
}

export async function tree() {
  const [n, left, top, apart, high, down] = [8, 128, 34, 72, 22, 42];
  const [up, prefix] = ["#dde9fd", "#fbe3d3"];
  const x = (i) => left + (i + 0.5) * apart;
  const y = (row) => top + row * down;
  const name = (node) => (node === null ? "identity" : node[0] === node[1] ? `${node[0]}` : `${node[0]} to ${node[1]}`);
  const then = (a, b) => (a === null ? b : b === null ? a : [a[0], b[1]]);
  const [cells, lines, labels] = [[], [], []];
  let row = 0;
  const draw = (label, nodes, made, fill) => {
    labels.push(text(left - 16, y(row) + 4, label, { anchor: "end", fill: ink.soft }));
    for (const [i, node] of nodes.entries()) {
      const isNew = made.some(([, to]) => to === i);
      if (isNew || row === 0) cells.push(box(x(i), y(row), { wide: 58, high, label: name(node), fill, size: 11 }));
      else
        lines.push(
          arrow(
            [
              [x(i), y(row) - down + high / 2],
              [x(i), y(row) + high / 2],
            ],
            { stroke: "#bcc4cc", head: false },
          ),
        );
    }
    for (const [from, to] of made)
      lines.push(
        arrow([
          [x(from), y(row - 1) + high / 2],
          [x(to), y(row) - high / 2],
        ]),
      );
    row += 1;
  };
  const nodes = range(n, (i) => [i, i]);
  draw("steps", nodes, [], ink.paper);
  for (let d = 1; d < n; d *= 2) {
    const made = [];
    for (let i = 2 * d - 1; i < n; i += 2 * d) {
      nodes[i] = then(nodes[i - d], nodes[i]);
      made.push([i - d, i], [i, i]);
    }
    draw(`up, distance ${d}`, nodes, made, up);
  }
  nodes[n - 1] = null;
  draw("root: identity", nodes, [[n - 1, n - 1]], ink.paper);
  for (let d = n / 2; d >= 1; d /= 2) {
    const made = [];
    for (let i = 2 * d - 1; i < n; i += 2 * d) {
      [nodes[i - d], nodes[i]] = [nodes[i], then(nodes[i], nodes[i - d])];
      made.push([i, i - d], [i - d, i], [i, i]);
    }
    draw(`down, distance ${d}`, nodes, made, prefix);
  }
  const b = [8, 0, 0, 4, 0, 0, 0, 2];
  const h = await ops
    .associativeScan(Tensor.full([1, n, 1], 0.5, { device: cpu }), Tensor.from(b, [1, n, 1], { device: cpu }), {
      algorithm: "blelloch",
    })
    .data();
  labels.push(text(left - 16, y(row) - 6, "b, for h/2 + b", { anchor: "end", fill: ink.soft }));
  labels.push(text(left - 16, y(row) + 12, "h", { anchor: "end", fill: ink.soft }));
  for (const [i, value] of h.entries()) {
    labels.push(text(x(i), y(row) - 6, b[i], { fill: ink.soft }), text(x(i), y(row) + 12, value));
  }
  return page({
    title: "Up-sweep and down-sweep over eight steps",
    height: y(row) + 26,
    parts: [...lines, ...cells, ...labels],
  });
}

export function block() {
  const mamba = new nn.Mamba({ dModel: 64, device: cpu });
  const { dModel, dInner, dState, dtRank, dConv } = mamba.sizes;
  const sizes = [...mamba.namedParameters()].map(([name, { size }]) => [name, size]);
  const count = (...modules) =>
    sizes.filter(([name]) => modules.includes(name.split(".")[0])).reduce((sum, [, size]) => sum + size, 0);
  const [stream, gate, main, below] = [40, 108, 176, 268];
  const [learnt, special] = [{ fill: "#dde9fd" }, { fill: "#fbe3d3" }];
  const put = (x, y, wide, label, style = {}, high = 30) => box(x, y, { wide, high, label, ...style });
  const circle = (x, y, label) => box(x, y, { wide: 20, high: 20, round: 10, label });
  const small = (x, y, label, anchor = "middle") => text(x, y, label, { fill: ink.soft, size: 10, anchor });
  const parts = [
    arrow(
      [
        [16, stream],
        [704, stream],
      ],
      { stroke: ink.text },
    ),
    arrow([
      [52, stream],
      [52, gate - 15],
    ]),
    arrow([
      [52, gate + 15],
      [52, main - 15],
    ]),
    arrow([
      [84, main],
      [122, main],
    ]),
    arrow([
      [100, main],
      [100, gate],
      [338, gate],
    ]),
    arrow([
      [382, gate],
      [500, gate],
      [500, main - 10],
    ]),
    arrow([
      [182, main],
      [200, main],
    ]),
    arrow([
      [244, main],
      [295, main],
    ]),
    arrow([
      [262, main],
      [262, below - 26],
    ]),
    arrow([
      [294, below - 14],
      [312, below - 14],
      [312, main + 26],
    ]),
    arrow([
      [294, below + 8],
      [334, below + 8],
    ]),
    arrow([
      [394, below + 8],
      [404, below + 8],
    ]),
    arrow([
      [434, below - 7],
      [434, main + 26],
    ]),
    arrow([
      [445, main],
      [490, main],
    ]),
    arrow([
      [510, main],
      [538, main],
    ]),
    arrow([
      [602, main],
      [652, main],
      [652, stream + 10],
    ]),
    put(52, gate, 64, "RMSNorm"),
    put(52, main, 64, "in_proj", learnt),
    put(152, main, 60, "conv1d", learnt),
    put(222, main, 44, "silu"),
    put(360, gate, 44, "silu"),
    put(370, main, 150, "", special, 52),
    text(370, main - 3, "selective scan"),
    small(370, main + 14, "A (E × N), D (E)"),
    put(262, below, 64, "x_proj", learnt, 52),
    put(364, below + 8, 60, "dt_proj", learnt),
    put(434, below + 8, 60, "softplus"),
    circle(500, main, "×"),
    put(570, main, 64, "out_proj", learnt),
    circle(652, stream, "+"),
    small(16, stream - 10, "residual stream (batch, length, d), float32", "start"),
    small(111, main - 6, "x"),
    small(110, gate - 6, "z (E)"),
    small(272, main - 6, "u (E)"),
    small(308, below - 44, "B, C (N)", "end"),
    small(299, below + 3, "δ (R)", "start"),
    small(440, below - 34, "Δ (E)", "start"),
    small(466, main - 6, "y (E)"),
    small(52, main + 28, count("in_proj")),
    small(152, main + 28, count("conv1d")),
    small(370, main - 32, count("A_log", "D")),
    small(262, below + 40, count("x_proj")),
    small(364, below + 36, count("dt_proj")),
    small(570, main + 28, count("out_proj")),
    small(
      704,
      below + 62,
      `nn.Mamba with d = ${dModel}, E = ${dInner}, N = ${dState}, R = ${dtRank} and ${dConv} taps: the numbers are parameters, ` +
        `${sizes.reduce((sum, [, size]) => sum + size, 0)} in all`,
      "end",
    ),
  ];
  return page({ title: "The Mamba block", height: below + 72, parts });
}
