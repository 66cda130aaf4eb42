import type { ScanResult } from "../contract.ts";
import { element, shape, short } from "../dom.ts";
import { Facts, type Panel, type View } from "../panel.ts";

// Eight places are as wide as the panel.
const [column, row, boxWidth, boxHeight, top] = [84, 98, 76, 44, 26];

/** The stages so far, the newest at the bottom, with lines from where its values came. */
function tree({ stages }: ScanResult, at: number): SVGElement {
  const places = stages[0]?.values.length ?? 0;
  const [width, height] = [places * column + 8, top + at * row + boxHeight + 8];
  const svg = shape("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Stage ${at + 1}`,
  });
  const x = (place: number): number => 4 + place * column + column / 2;
  const y = (stage: number): number => top + stage * row;
  stages.slice(0, at + 1).forEach(({ title, values, changed }, stage) => {
    const group = shape("g", { class: stage < at ? "old" : "new" });
    group.append(shape("text", { class: "title", x: 4 + (column - boxWidth) / 2, y: y(stage) - 8 }, title));
    for (const { place, from } of changed) {
      for (const source of from) {
        group.append(shape("line", { x1: x(source), y1: y(stage - 1) + boxHeight, x2: x(place), y2: y(stage) }));
      }
    }
    values.forEach(([a, b], place) => {
      const isChanged = changed.some((one) => one.place === place);
      group.append(
        shape(
          "g",
          { class: isChanged ? "changed" : "same" },
          shape("rect", { x: x(place) - boxWidth / 2, y: y(stage), width: boxWidth, height: boxHeight, rx: 6 }),
          shape("text", { x: x(place), y: y(stage) + 18 }, short(a)),
          shape("text", { x: x(place), y: y(stage) + 35 }, short(b)),
        ),
      );
    });
    svg.append(group);
  });
  return svg;
}

export function scanView(_panel: () => Panel<"scan">): View<"scan"> {
  let last: ScanResult | undefined;
  let at = 0;
  const facts = new Facts();
  const words = element("p", { "aria-live": "polite", id: "scan-words" });
  const place = element("div", {
    class: "tree",
    id: "scan-tree",
    tabindex: 0,
    role: "group",
    "aria-label": "Stages of the scan",
  });
  const back = element("button", { type: "button", class: "plain", id: "scan-back" }, "← Back");
  const forward = element("button", { type: "button", class: "plain", id: "scan-forward" }, "Forward →");
  const slider = element("input", { type: "range", id: "scan-stage", min: 0, step: 1, "aria-label": "Stage" });
  const shown = element("output", { for: "scan-stage" });
  function show(): void {
    if (!last) return;
    const most = last.stages.length - 1;
    at = Math.min(Math.max(at, 0), most);
    slider.max = String(most);
    slider.value = String(at);
    [back.disabled, forward.disabled] = [at === 0, at === most];
    shown.textContent = `${at + 1} of ${most + 1}`;
    const stage = last.stages[at] as ScanResult["stages"][number];
    words.textContent = `${stage.title}: ${stage.text}`;
    place.replaceChildren(tree(last, at));
    place.dataset.points = JSON.stringify(stage.values);
    place.scrollTop = place.scrollHeight;
  }
  const step = (by: number) => () => {
    at += by;
    show();
  };
  back.addEventListener("click", step(-1));
  forward.addEventListener("click", step(1));
  slider.addEventListener("input", () => {
    at = slider.valueAsNumber;
    show();
  });
  return {
    words: [
      "h[t] = a[t] h[t−1] + b[t] looks strictly sequential. But each step is a map h ↦ a h + b, and maps compose in any grouping: a tree finds all prefixes in 2 log₂ L rounds.",
      "The up-sweep makes the maps of ever longer stretches; the down-sweep hands each place what came before it. Step through and follow the lines; a stands above b.",
    ],
    formula: "(a₁, b₁) then (a₂, b₂)  =  (a₂ a₁, a₂ b₁ + b₂)",
    content: [facts.box, element("div", { class: "player" }, back, forward, slider, shown), words, place],
    settle(knobs) {
      const isOwn = knobs.values.pairs === "own";
      const query = knobs.write();
      // Own pairs begin as those that are shown.
      if (isOwn && last && !query.has("a") && !query.has("b")) {
        knobs.set("a", last.a);
        knobs.set("b", last.b);
      }
      knobs.enable("a", isOwn);
      knobs.enable("b", isOwn);
      knobs.enable("length", !isOwn);
      knobs.enable("seed", knobs.values.pairs === "random" || knobs.values.pairs === "decay");
    },
    request({ pairs, length, seed, a, b }) {
      return pairs === "own" ? { pairs, a, b } : { pairs, length, seed };
    },
    draw(result) {
      const isFirst = !last;
      last = result;
      if (isFirst) at = 0;
      show();
      facts.set({
        "h, the prefixes": result.h.map((x) => short(x)).join("  "),
        compositions: String(result.compositions),
        "blelloch differs by": short(result.difference.blelloch),
        "sequential differs by": short(result.difference.sequential),
      });
    },
  };
}
