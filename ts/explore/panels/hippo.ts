// What N numbers remember of a signal while it recedes.
import * as ssm from "../../ssm/index.ts";
import { drawnPoints, type HippoResult, type PanelValues } from "../page/contract.ts";
import { signal, through } from "../signals.ts";

/** Length of the signal in time. */
export const span = 10;
const points = 240;
const frames = 50;

export function hippo({ measure, N, theta, dt, method, signal: name, drawn }: PanelValues<"hippo">): HippoResult {
  const u = name === "drawn" ? through(drawn, span) : signal(name, span);
  const isScaled = measure === "legs, scaled";
  const memory = isScaled
    ? new ssm.FunctionMemory("legs", N, { dt, method })
    : new ssm.FunctionMemory(measure === "legs, fading" ? "legs" : measure, N, { dt, theta, method, isScaled: false });
  const hasWindow = measure === "legt" || measure === "fourier";
  const samples = Math.floor(span / dt + 1e-9);
  const t = Array.from({ length: points }, (_, i) => ((i + 0.5) * span) / points);
  const result: HippoResult = {
    samples,
    t,
    u: t.map(u),
    outline: Array.from({ length: drawnPoints }, (_, i) => u((i * span) / (drawnPoints - 1))),
    frames: [],
  };
  let fed = 0;
  for (let frame = 1; frame <= frames; frame++) {
    const target = Math.max(1, Math.round((frame * samples) / frames));
    if (target > fed) memory.feed(Float64Array.from({ length: target - fed }, (_, k) => u((fed + k + 0.5) * dt)));
    fed = target;
    const now = memory.time;
    const isCovered = (at: number): boolean => at <= now && (!hasWindow || now - at <= theta);
    const covered = t.filter(isCovered);
    const past = covered.length > 0 ? [...memory.reconstruct(covered.map((at) => now - at))] : [];
    const first = t.findIndex(isCovered);
    const squares = past.reduce((sum, x, i) => sum + (x - u(covered[i]!)) ** 2, 0);
    result.frames.push({
      time: now,
      past: t.map((_, i) => (first >= 0 ? (past[i - first] ?? null) : null)),
      error: Math.sqrt(squares / Math.max(1, past.length)),
    });
  }
  return result;
}
