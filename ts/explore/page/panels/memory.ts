import { Chart } from "../chart.ts";
import type { About, MemoryResult } from "../contract.ts";
import { colour, element, short } from "../dom.ts";
import { Facts, type Panel, type View } from "../panel.ts";

const names = { delta: "delta", retained: "retained", "state norm": "state norm" } as const;

export function memoryView(_panel: () => Panel<"memory">, about: About): View<"memory"> {
  const layers = about.model?.layers ?? 1;
  const facts = new Facts();
  const tokens = element("div", { class: "tokens", id: "memory-tokens", "aria-label": "The text by tokens" });
  const point = (index: number | null): void => {
    for (const [i, token] of [...tokens.children].entries()) token.classList.toggle("here", i === index);
  };
  const lines = ["first", "second", "third", "fourth"];
  const delta = new Chart("memory-delta", {
    xLabel: "token",
    title: "delta by token: mean over the layer's channels, and where the middle eight tenths lie",
    isWide: true,
    onCursor: point,
    lines: [
      { label: "mean", colour: "first" },
      { label: "10 %", colour: "faint", width: 1 },
      { label: "90 %", colour: "faint", width: 1 },
    ],
  });
  const retained = new Chart("memory-retained", {
    xLabel: "token",
    title: "Retained: how much of the state after each token lasts to the end",
    isWide: true,
    height: 200,
    onCursor: point,
    lines: [{ label: "retained", colour: "third" }],
  });
  const norms = new Chart("memory-norms", {
    xLabel: "token",
    title: "The norm of each layer's state",
    isWide: true,
    height: 220,
    onCursor: point,
    lines: Array.from({ length: layers }, (_, i) => ({
      label: `layer ${i}`,
      colour: lines[i % 4] as string,
      width: i < 4 ? 1.8 : 1,
    })),
  });
  return {
    words: [
      "Mamba chooses, token by token, how far its state moves: a large delta takes the token in and forgets what was, a small one passes by. A is fixed, so delta alone decides what lasts.",
      "Type a text of yours. Colours show the chosen number by token; the charts show one layer's delta, what of its state lasts to the end of the text, and the size of all states.",
    ],
    formula:
      "h[t] = e^(Δ[t] A) h[t−1] + Δ[t] B[t] u[t],   Δ = softplus(W u + bias),   retained[t] = mean e^(A Σ_{s>t} Δ[s])",
    content: [facts.box, tokens, element("div", { class: "charts" }, delta.box, retained.box, norms.box)],
    instead({ model, remedy }) {
      if (model) return null;
      return element(
        "div",
        { class: "empty", id: "memory-empty" },
        element("h3", {}, "There is no trained model yet"),
        element("p", {}, `${remedy}. A small one takes minutes on two processor cores:`),
        element("pre", {}, "npm start\nnpx statespace explore --model runs/demo"),
      );
    },
    settle(knobs) {
      if (knobs.values.layer >= layers) knobs.set("layer", layers - 1);
      const slider = knobs.box.querySelector<HTMLInputElement>("#memory-layer");
      if (slider) slider.max = String(layers - 1);
      knobs.enable("layer", layers > 1);
    },
    // An empty text has nothing to show; the last one stays.
    request: ({ text }) => ({ text: text || " " }),
    draw(result: MemoryResult, { layer, show }) {
      const one = result.layers[layer] as MemoryResult["layers"][number];
      const steps = result.tokens.map((_, i) => i);
      delta.set(steps, one.delta.mean, one.delta.low, one.delta.high);
      retained.set(steps, one.retained);
      norms.set(steps, ...result.layers.map(({ stateNorm }) => stateNorm));
      const values = { delta: one.delta.mean, retained: one.retained, "state norm": one.stateNorm }[show];
      const [least, most] = [Math.min(...values), Math.max(...values)];
      tokens.replaceChildren(
        ...result.tokens.map((token, i) => {
          const part = most > least ? ((values[i] as number) - least) / (most - least) : 0;
          const label = `${JSON.stringify(token)}: ${names[show]} ${short(values[i] as number)}`;
          const span = element("span", { title: label }, token === "\n" ? "↵\n" : token || "·");
          span.style.backgroundColor = `rgba(${colour("heat")}, ${(0.75 * part).toFixed(3)})`;
          return span;
        }),
      );
      const at = values.indexOf(most);
      facts.set({
        tokens: String(result.tokens.length),
        [`largest ${names[show]}`]: `${short(most)} at ${JSON.stringify(result.tokens[at])}`,
        [`smallest ${names[show]}`]: short(least),
        "last state's norm": short(one.stateNorm.at(-1) as number),
      });
    },
  };
}
