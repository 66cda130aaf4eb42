import type uPlot from "uplot";
import { Chart } from "../chart.ts";
import type { DiscretizationResult } from "../contract.ts";
import { colour, complex, element, short } from "../dom.ts";
import { Facts, type Panel, type View } from "../panel.ts";

/** A dot with a ring. */
function dot(plot: uPlot, [re, im]: readonly [number, number], name: string): void {
  const { ctx } = plot;
  ctx.beginPath();
  ctx.arc(plot.valToPos(re, "x", true), plot.valToPos(im, "y", true), 6 * devicePixelRatio, 0, 2 * Math.PI);
  ctx.fillStyle = colour(name);
  ctx.fill();
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.strokeStyle = colour("paper");
  ctx.stroke();
}

function line(plot: uPlot, points: readonly (readonly [number, number])[], name: string, isFilled = false): void {
  const { ctx } = plot;
  ctx.beginPath();
  for (const [re, im] of points) ctx.lineTo(plot.valToPos(re, "x", true), plot.valToPos(im, "y", true));
  ctx.lineWidth = 1.5 * devicePixelRatio;
  if (isFilled) {
    ctx.fillStyle = colour("stable");
    ctx.fill();
  }
  ctx.strokeStyle = colour(name);
  ctx.stroke();
}

/** Draws inside the axes only. */
function within(plot: uPlot, draw: () => void): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw();
  ctx.restore();
}

const circle = Array.from({ length: 181 }, (_, i): [number, number] => [
  Math.cos((i * Math.PI) / 90),
  Math.sin((i * Math.PI) / 90),
]);

export function discretizationView(_panel: () => Panel<"discretization">): View<"discretization"> {
  let last: DiscretizationResult | undefined;
  const motion = new Chart("discretization-motion", {
    xLabel: "t",
    title: "Re x(t): the equation of motion, and its steps",
    isWide: true,
    height: 300,
    lines: [
      { label: "input", colour: "faint", dash: [4, 4], width: 1.2 },
      { label: "exact", colour: "first" },
      { label: "samples of the input", colour: "faint", isDots: true },
      { label: "steps", colour: "second", isDots: true },
    ],
  });
  const disc = new Chart("discretization-disc", {
    xLabel: "re",
    title: "Ā in the unit circle",
    note: "The line is Ā as dt grows. Inside the circle, steps decay.",
    x: [-1.5, 1.5],
    y: [-1.5, 1.5],
    isSquare: true,
    lines: [{ label: "", colour: "faint", width: 0 }],
    behind: (plot) => {
      const { A, path, modulus } = last as DiscretizationResult;
      within(plot, () => {
        line(plot, circle, "third", true);
        line(plot, [[1, 0], ...path], "faint");
        dot(plot, A, modulus < 1 ? "second" : "bad");
      });
    },
  });
  const plane = new Chart("discretization-plane", {
    xLabel: "re",
    title: "z = dt a, and where the rule is stable",
    note: "Green: |Ā| < 1. The true motion decays left of the axis.",
    x: [-3, 3],
    y: [-3, 3],
    isSquare: true,
    lines: [{ label: "", colour: "faint", width: 0 }],
    behind: (plot) => {
      const { z, region, modulus } = last as DiscretizationResult;
      const { halfWidth, cells, isStable } = region;
      within(plot, () => {
        const { ctx } = plot;
        ctx.fillStyle = colour("stable");
        const edge = (i: number): number => ((2 * i) / cells - 1) * halfWidth;
        isStable.forEach((good, i) => {
          if (!good) return;
          const [x, y] = [i % cells, Math.floor(i / cells)];
          // Whole pixels, or seams show.
          const left = Math.round(plot.valToPos(edge(x), "x", true));
          const top = Math.round(plot.valToPos(edge(y + 1), "y", true));
          ctx.fillRect(
            left,
            top,
            Math.round(plot.valToPos(edge(x + 1), "x", true)) - left,
            Math.round(plot.valToPos(edge(y), "y", true)) - top,
          );
        });
        line(
          plot,
          [
            [0, -halfWidth],
            [0, halfWidth],
          ],
          "faint",
        );
        dot(plot, z, modulus < 1 ? "second" : "bad");
      });
    },
  });
  const facts = new Facts();
  return {
    words: [
      "One mode of a state space model moves by x′ = a x + u. A computer sees its input only at samples, dt apart, and a rule makes a step of each.",
      "Turn dt up: zero-order hold stays on the true curve, the bilinear rule bends its phase, and Euler's rule leaves the unit circle and explodes.",
    ],
    formula:
      "h[k] = Ā h[k−1] + B̄ u[k],   zoh: Ā = e^(dt a),   bilinear: Ā = (1 + dt a/2) / (1 − dt a/2),   euler: Ā = 1 + dt a",
    content: [facts.box, element("div", { class: "charts" }, motion.box, disc.box, plane.box)],
    settle(knobs) {
      knobs.enable("alpha", knobs.values.method === "gbt");
    },
    draw(result) {
      last = result;
      const { exact, sampled, A, B, z, modulus, region } = result;
      facts.set({
        "z = dt a": complex(z),
        Ā: complex(A),
        B̄: complex(B),
        [modulus < 1 ? "|Ā|, stable" : modulus > 1 ? "|Ā|, unstable!" : "|Ā|, on the edge"]: short(modulus, 4),
      });
      // Both clocks on one axis; what explodes leaves the chart.
      const times = [...new Set([...exact.t, ...sampled.t])].sort((a, b) => a - b);
      const on = (t: number[], x: number[]): (number | null)[] => {
        const known = new Map(t.map((time, i) => [time, x[i] as number]));
        return times.map((time) => known.get(time) ?? null);
      };
      const filled = (x: number[]): (number | null)[] => {
        const values = on(exact.t, x);
        for (let i = 1; i < values.length; i++) values[i] ??= values[i - 1] as number;
        return values;
      };
      const sizes = [...exact.x, ...exact.u].map(Math.abs);
      const most = 1.6 * Math.max(...sizes, 0.1);
      motion.y = [-most, most];
      motion.set(times, filled(exact.u), filled(exact.x), on(sampled.t, sampled.u), on(sampled.t, sampled.x));
      const size = Math.min(3, Math.max(1.5, 1.15 * modulus));
      disc.x = [-size, size];
      disc.y = [-size, size];
      disc.set([A[0]], [A[1]]);
      plane.x = [-region.halfWidth, region.halfWidth];
      plane.y = [-region.halfWidth, region.halfWidth];
      plane.set([z[0]], [z[1]]);
      plane.box.dataset.stable = String(region.isStable.filter(Boolean).length);
    },
  };
}
