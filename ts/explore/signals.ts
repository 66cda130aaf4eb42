// Signals to try things on: functions of time, the same in every run.

/** Numbers in [-1, 1) from a seed (mulberry32); for pictures, not for statistics. */
export function randoms(seed: number, count: number): number[] {
  let state = seed + 0x9e3779b9;
  return Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}

/** The function through `points`, evenly spaced over [0, end], by straight lines. */
export function through(points: readonly number[], end: number): (t: number) => number {
  return (t) => {
    const at = Math.min(Math.max(t / end, 0), 1) * (points.length - 1);
    const left = Math.min(Math.floor(at), points.length - 2);
    return points[left]! + (at - left) * (points[left + 1]! - points[left]!);
  };
}

/** Input signals by name over [0, end]. */
export function signal(name: string, end: number): (t: number) => number {
  const part = (t: number): number => t / end;
  switch (name) {
    case "step":
      return (t) => (part(t) >= 0.1 ? 1 : 0);
    case "pulse":
      return (t) => (part(t) >= 0.1 && part(t) < 0.3 ? 1 : 0);
    case "sine":
      return (t) => Math.sin(2 * Math.PI * 4 * part(t));
    case "sawtooth":
      return (t) => 2 * ((4 * part(t)) % 1) - 1;
    case "chirp":
      return (t) => Math.sin(2 * Math.PI * (1 + 9 * part(t)) * part(t));
    case "steps":
      return (t) => [0.3, 1, -0.8, -0.2, 0.7, -1, 0][Math.min(6, Math.floor(7 * part(t)))]!;
    case "waves":
      return (t) => 0.8 * Math.sin(2 * Math.PI * 2.3 * part(t)) + 0.5 * Math.sin(2 * Math.PI * 5.1 * part(t) + 1);
    case "noise":
      return through(randoms(7, 60), end);
    default:
      return () => 0;
  }
}
