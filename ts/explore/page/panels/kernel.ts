import { Chart } from "../chart.ts";
import { element, short } from "../dom.ts";
import { Facts, type Panel, type View } from "../panel.ts";

export function kernelView(_panel: () => Panel<"kernel">): View<"kernel"> {
  const facts = new Facts();
  const taps = new Chart("kernel-taps", {
    xLabel: "step",
    title: "The kernel K[l]: what a unit input leaves l steps later",
    isWide: true,
    lines: [{ label: "K", colour: "third" }],
  });
  const outputs = new Chart("kernel-outputs", {
    xLabel: "step",
    title: "The output, twice",
    isWide: true,
    height: 280,
    lines: [
      { label: "input", colour: "faint", dash: [4, 4], width: 1.2 },
      { label: "by recurrence", colour: "first", width: 6 },
      { label: "by convolution", colour: "second", width: 1.8 },
    ],
  });
  return {
    words: [
      "An S4D layer is N/2 damped oscillators side by side. Its output can be stepped, one sample after the other, or computed at once, as a convolution with one long kernel.",
      "The wide line is the recurrence in float64, the thin one the kernel and the Fourier convolution on this machine's device in float32: they lie on each other whatever the knobs.",
    ],
    formula: "K[l] = 2 Re Σ C[n] B̄[n] Ā[n]^l,   y[k] = Σ K[j] u[k−j]   =   2 Re C h[k],  h[k] = Ā h[k−1] + B̄ u[k]",
    content: [facts.box, element("div", { class: "charts" }, taps.box, outputs.box)],
    settle(knobs) {
      knobs.enable("seed", knobs.values.C === "random");
    },
    draw({ K, u, convolution, recurrence, difference, size, device }) {
      const steps = K.map((_, i) => i);
      taps.set(steps, K);
      outputs.set(steps, u, recurrence, convolution);
      facts.set({
        "largest difference": short(difference),
        "largest output": short(size),
        "relative to it": short(size > 0 ? difference / size : 0),
        "convolution on": device,
      });
    },
  };
}
