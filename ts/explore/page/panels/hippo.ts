import { Chart } from "../chart.ts";
import { drawnPoints, type HippoResult, hippoFrames, hippoSpan } from "../contract.ts";
import { element, short } from "../dom.ts";
import { Facts, type Panel, type View } from "../panel.ts";

const height = 1.6;

export function hippoView(panel: () => Panel<"hippo">): View<"hippo"> {
  let last: HippoResult | undefined;
  let frame = Number.POSITIVE_INFINITY;
  let playing: ReturnType<typeof setInterval> | undefined;
  const facts = new Facts();
  const memory = new Chart("hippo-memory", {
    xLabel: "t",
    title: "The signal, and what is remembered of it now",
    note: "Draw on the chart with the pointer; presets are in the knobs.",
    isWide: true,
    height: 320,
    x: [0, hippoSpan],
    y: [-height, height],
    lines: [
      { label: "signal", colour: "faint", width: 3 },
      { label: "remembered", colour: "first" },
      { label: "now", colour: "second", width: 1.5, dash: [5, 4] },
    ],
  });
  memory.box.classList.add("drawable");
  const error = new Chart("hippo-error", {
    xLabel: "t",
    title: "Root mean square error over what the measure covers, as time goes on",
    isWide: true,
    height: 170,
    x: [0, hippoSpan],
    lines: [{ label: "error", colour: "second" }],
  });
  const slider = element("input", {
    type: "range",
    id: "hippo-time",
    min: 0,
    max: hippoFrames - 1,
    step: 1,
    value: hippoFrames - 1,
    "aria-label": "Time",
  });
  const shown = element("output", { for: "hippo-time" });
  const play = element("button", { type: "button", class: "plain", id: "hippo-play" }, "Play");

  function show(): void {
    if (!last) return;
    frame = Math.min(frame, last.frames.length - 1);
    const { time, past, error: size } = last.frames[frame] as HippoResult["frames"][number];
    slider.value = String(frame);
    shown.textContent = `t = ${short(time)}`;
    // "now" is a vertical line: two points at one place.
    const at = last.t.filter((t) => t <= time).length;
    const put = <T>(list: readonly T[], ...extra: T[]): T[] => [...list.slice(0, at), ...extra, ...list.slice(at)];
    memory.set(
      put(last.t, time, time),
      put(last.u as (number | null)[], null, null).map((v, i, all) => v ?? all[i - 1] ?? all[i + 1] ?? null),
      put(past, null, null),
      put(
        last.t.map(() => null as number | null),
        -height,
        height,
      ),
    );
    facts.set({
      samples: String(last.samples),
      time: short(time),
      error: short(size),
      "numbers kept": String(panel().knobs.values.N),
    });
  }
  const stop = (): void => {
    clearInterval(playing);
    playing = undefined;
    play.textContent = "Play";
  };
  slider.addEventListener("input", () => {
    stop();
    frame = slider.valueAsNumber;
    show();
  });
  play.addEventListener("click", () => {
    if (playing) return stop();
    if (frame >= hippoFrames - 1) frame = 0;
    play.textContent = "Pause";
    playing = setInterval(() => {
      frame++;
      show();
      if (frame >= hippoFrames - 1) stop();
    }, 90);
  });

  // Drawing: points under the pointer's way take its height.
  let before: [number, number] | null = null;
  function draw(event: PointerEvent): void {
    const over = memory.plot?.over;
    if (!over || !last) return;
    const { left, top, width, height: tall } = over.getBoundingClientRect();
    const place = Math.min(1, Math.max(0, (event.clientX - left) / width)) * (drawnPoints - 1);
    const value = Math.min(height, Math.max(-height, height * (1 - (2 * (event.clientY - top)) / tall)));
    const { knobs } = panel();
    const now = knobs.values.signal === "drawn" ? knobs.values.drawn : last.outline;
    const points = now.map((x) => Number(x.toFixed(2)));
    const [from, start] = before ?? [place, value];
    const [a, b] = [Math.round(Math.min(from, place)), Math.round(Math.max(from, place))];
    for (let i = a; i <= b; i++) {
      const part = place === from ? 1 : Math.min(1, Math.max(0, (i - from) / (place - from)));
      points[i] = Number((start + part * (value - start)).toFixed(2));
    }
    before = [place, value];
    knobs.set("drawn", points);
    knobs.set("signal", "drawn");
    panel().turned();
  }
  memory.box.addEventListener("pointerdown", (event) => {
    if (!(event.target as Element).closest(".u-over") || event.button !== 0) return;
    before = null;
    (event.target as Element).setPointerCapture(event.pointerId);
    draw(event);
  });
  memory.box.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && before) draw(event);
  });
  memory.box.addEventListener("pointerup", () => {
    before = null;
  });

  return {
    words: [
      "HiPPO's A keeps N numbers from which the past can be read back: coefficients of the input in a basis of polynomials or waves, updated at each sample.",
      "Let time go on and watch the early signal recede: the scaled measure spreads its detail over all of the history, a window is sharp and then forgets for good.",
    ],
    formula:
      "x′ = A x + B u,   u(t − lag) ≈ Σ x[n] basis[n](lag),   legs: A[n][k] = −√((2n+1)(2k+1)) for n > k, −(n+1) for n = k",
    content: [
      facts.box,
      element("div", { class: "player" }, play, slider, shown),
      element("div", { class: "charts" }, memory.box, error.box),
    ],
    settle(knobs) {
      const isScaled = knobs.values.measure === "legs, scaled";
      knobs.enable("theta", !isScaled);
      knobs.allow("method", "zoh", !isScaled);
      if (isScaled && knobs.values.method === "zoh") knobs.set("method", "bilinear");
    },
    request({ theta, drawn, ...values }) {
      return {
        ...values,
        ...(values.measure !== "legs, scaled" && { theta }),
        ...(values.signal === "drawn" && { drawn }),
      };
    },
    draw(result) {
      last = result;
      error.y = [0, 1.1 * Math.max(...result.frames.map((one) => one.error), 1e-3)];
      error.set(
        result.frames.map(({ time }) => time),
        result.frames.map((one) => one.error),
      );
      show();
    },
  };
}
