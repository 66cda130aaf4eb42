// The tables that `statespace bench` prints.
import type { Ceilings } from "../bench/bounds.ts";
import { describeShape } from "../bench/kernel.ts";
import type { PeerResult } from "../bench/peers.ts";
import { labelOf, type Result } from "../bench/suite.ts";
import type { Sweep } from "../bench/sweep.ts";
import { table } from "./output.ts";

/** 3 digits that mean something. */
function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms >= 1 ? ms.toFixed(2) : ms.toPrecision(3);
}

const prefixes = ["", "k", "M", "G", "T", "P"];

/** 1.23 G */
function scaled(value: number): string {
  const step = Math.max(0, Math.min(prefixes.length - 1, Math.floor(Math.log10(value) / 3)));
  return `${(value / 1000 ** step).toPrecision(3)} ${prefixes[step]}`;
}

const percent = (share: number | undefined): string => (share === undefined ? "" : `${(100 * share).toFixed(0)} %`);

/** "copy 41.6 GB/s, ..." */
export function describeCeilings(ceilings: Ceilings): string {
  const perSecond = (value: number | undefined, name: string, unit: string, factor = 1): string[] =>
    value === undefined ? [] : [`${name} ${scaled(1000 * factor * value)}${unit}`];
  return [
    ...perSecond(ceilings.bytes, "copy", "B/s"),
    ...perSecond(ceilings.multiplyAdds, "float32", "FLOP/s", 2),
    ...perSecond(ceilings.matrixMultiplyAdds, "bfloat16 matrices", "FLOP/s", 2),
    ...perSecond(ceilings.exponentials, "exponentials", "/s"),
    ...perSecond(ceilings.instructions, "instructions", "/s"),
  ].join(", ");
}

/** A line for each result; those without a number say why. */
export function resultTable(results: readonly Result[]): string {
  const rows = results.map(
    ({ kernel, shape, dtype, timing, failure, bounds, ofBound, ofChip, bytesPerSecond, rate, slots }) => {
      const what = [kernel, describeShape(shape), dtype];
      if (!timing) return [...what, failure ? "none" : "checked"];
      const [ruling] = bounds ?? [];
      return [
        ...what,
        milliseconds(timing.medianMs),
        `± ${milliseconds(timing.spreadMs)}`,
        ruling ? `${percent(ofBound)} of ${ruling.name} ${milliseconds(ruling.ms)}` : "",
        ruling?.name === "issue" ? `${percent(ofChip)} of the chip's` : "",
        bytesPerSecond ? `${scaled(bytesPerSecond)}B/s` : "",
        rate ? `${scaled(rate.value)}${rate.unit}` : "",
        slots ? `${slots.toFixed(1)} slots` : "",
      ];
    },
  );
  const failures = results.flatMap((result) =>
    result.failure ? [`${labelOf(result)}: no number, ${result.failure}`] : [],
  );
  const header = ["kernel", "shape", "type", "ms", "spread", "bound", "", "traffic", "rate", ""];
  return [table([header, ...rows]), ...failures].join("\n");
}

/** Time at each size, per unit of work, and how it grows. */
export function sweepTable({ kernel, over, dtype, points, exponent }: Sweep): string {
  const rows = points.map(({ value, outcome }) => {
    const { timing, failure, work } = outcome;
    if (!timing) return [String(value), failure ? `no number: ${failure}` : "checked"];
    const perByte = work ? `${((1e6 * timing.medianMs) / work.bytes).toPrecision(3)} ns a byte of traffic` : "";
    return [String(value), `${milliseconds(timing.medianMs)} ms`, perByte];
  });
  const grows = exponent === undefined ? "" : `: time grows as ${over}^${exponent.toFixed(2)}`;
  return `${kernel} over ${over}, ${dtype}${grows}\n${table(rows)}`;
}

/** Peers beside our own medians. */
export function peerTable(peers: readonly PeerResult[]): string {
  const rows = peers.map(({ peer, version, kernel, shape, dtype, timing, failure, ratio }) => [
    `${peer}${version ? ` ${version}` : ""}`,
    kernel,
    describeShape(shape),
    dtype,
    timing ? `${milliseconds(timing.medianMs)} ms` : `no number: ${failure}`,
    ratio ? `${ratio.toFixed(2)} x ours` : "",
  ]);
  return table(rows);
}
