// What N numbers remember of a signal while it recedes.
import * as ssm from "../../ssm/index.ts";
import { drawnPoints, type HippoResult, hippoFrames, hippoSpan, type PanelValues } from "../page/contract.ts";
import { signal, through } from "../signals.ts";

const points = 240;

export function hippo({ measure, N, theta, dt, method, signal: name, drawn }: PanelValues<"hippo">): HippoResult {
  const u = name === "drawn" ? through(drawn, hippoSpan) : signal(name, hippoSpan);
  const isScaled = measure === "legs, scaled";
  const memory = isScaled
    ? new ssm.FunctionMemory("legs", N, { dt, method })
    : new ssm.FunctionMemory(measure === "legs, fading" ? "legs" : measure, N, { dt, theta, method, isScaled: false });
  const hasWindow = measure === "legt" || measure === "fourier";
  const samples = Math.floor(hippoSpan / dt + 1e-9);
  const t = Array.from({ length: points }, (_, i) => ((i + 0.5) * hippoSpan) / points);
  const result: HippoResult = {
    samples,
    t,
    u: t.map(u),
    outline: Array.from({ length: drawnPoints }, (_, i) => u((i * hippoSpan) / (drawnPoints - 1))),
    frames: [],
  };
  let fed = 0;
  for (let frame = 1; frame <= hippoFrames; frame++) {
    const target = Math.max(1, Math.round((frame * samples) / hippoFrames));
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
