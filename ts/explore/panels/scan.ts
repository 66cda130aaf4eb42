// Blelloch's scan over affine maps, stage by stage, checked against the library's own.
import { makeError } from "../../native/errors.ts";
import * as ops from "../../ops/index.ts";
import { scope } from "../../tensor/scope.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { PanelValues, ScanResult, ScanStage } from "../page/contract.ts";
import { randoms } from "../signals.ts";

/** The map h -> a h + b. */
type Affine = readonly [a: number, b: number];

const identity: Affine = [1, 0];

/** First `earlier`, then `later`. */
const compose = (earlier: Affine, later: Affine): Affine => [later[0] * earlier[0], later[0] * earlier[1] + later[1]];

/**
 * The stages of the scan: leaves, filled up with identities to a power of two; up-sweep, where a place takes its left
 * sibling before itself; the root becomes the identity; down-sweep, where a left child takes its parent's prefix and a
 * right child that prefix and then the left sibling's sum; last, each prefix meets its own leaf.
 */
export function stages(a: readonly number[], b: readonly number[]): { stages: ScanStage[]; compositions: number } {
  const size = 2 ** Math.ceil(Math.log2(a.length));
  const leaves: Affine[] = Array.from({ length: size }, (_, i) => (i < a.length ? [a[i]!, b[i]!] : identity));
  let tree = [...leaves];
  let compositions = 0;
  const all: ScanStage[] = [];
  const keep = (title: string, text: string, changed: ScanStage["changed"]): void => {
    all.push({ title, text, values: tree.map(([x, y]) => [x, y]), changed });
  };
  const padding = size > a.length ? ` Places from ${a.length} on are filled with the identity (1, 0).` : "";
  keep("The pairs", `Each step is the map h ↦ a h + b.${padding}`, []);
  for (let stride = 1; stride < size; stride *= 2) {
    const next = [...tree];
    const changed: ScanStage["changed"] = [];
    for (let right = 2 * stride - 1; right < size; right += 2 * stride) {
      next[right] = compose(tree[right - stride]!, tree[right]!);
      compositions++;
      changed.push({ place: right, from: [right - stride, right] });
    }
    tree = next;
    keep(`Up-sweep, distance ${stride}`, "A right place takes the map of its left sibling before its own.", changed);
  }
  tree = [...tree];
  tree[size - 1] = identity;
  keep("The root", "Nothing comes before the whole: the root becomes the identity.", [{ place: size - 1, from: [] }]);
  for (let stride = size / 2; stride >= 1; stride /= 2) {
    const next = [...tree];
    const changed: ScanStage["changed"] = [];
    for (let right = 2 * stride - 1; right < size; right += 2 * stride) {
      const left = right - stride;
      next[left] = tree[right]!;
      next[right] = compose(tree[right]!, tree[left]!);
      compositions++;
      changed.push({ place: left, from: [right] }, { place: right, from: [right, left] });
    }
    tree = next;
    keep(
      `Down-sweep, distance ${stride}`,
      "A left place takes its parent's prefix; the right one that prefix, then the left sum.",
      changed,
    );
  }
  tree = tree.map((prefix, i) => compose(prefix, leaves[i]!));
  compositions += size;
  keep(
    "The result",
    "Each prefix, then its own pair. From h = 0, b is now h[t].",
    tree.map((_, place) => ({ place, from: [place] })),
  );
  return { stages: all, compositions };
}

function pairs(values: PanelValues<"scan">): { a: number[]; b: number[] } {
  const { length, seed } = values;
  if (values.pairs === "own") {
    const [a, b] = [[...values.a], [...values.b]];
    if (a.length === b.length && a.length >= 2) return { a, b };
    throw makeError(
      "ERR_ARGUMENT",
      `explore: b has ${b.length} numbers, expected as many as a, which has ${a.length}`,
      {
        details: { argument: "b", found: b.length, needed: `as many as a, ${a.length}, and at least 2` },
      },
    );
  }
  const round = (x: number): number => Math.round(4 * x) / 4;
  const drawn = randoms(seed, 2 * length);
  const a = drawn.slice(0, length);
  const b = drawn.slice(length).map((x) => round(4 * x));
  switch (values.pairs) {
    case "running sum":
      return { a: a.map(() => 1), b: b.map((_, i) => i + 1) };
    case "decay":
      return { a: a.map(() => 0.5), b: b.map((_, i) => (i % 4 === 0 ? 8 : 0)) };
    case "resets":
      return { a: a.map((_, i) => (i % 3 === 0 ? 0 : 1)), b: b.map((_, i) => i + 1) };
    default:
      return { a: a.map((x) => round(2 * x)), b };
  }
}

export async function scan(values: PanelValues<"scan">): Promise<ScanResult> {
  const { a, b } = pairs(values);
  const { stages: all, compositions } = stages(a, b);
  const h = all
    .at(-1)!
    .values.slice(0, a.length)
    .map(([, y]) => y);
  const away = (algorithm: "blelloch" | "sequential"): Promise<number> =>
    scope.async(async () => {
      const shape = [1, a.length, 1];
      const found = await ops.associativeScan(Tensor.from(a, shape), Tensor.from(b, shape), { algorithm }).data();
      return h.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i]!)), 0);
    });
  return {
    a,
    b,
    stages: all,
    h,
    difference: { blelloch: await away("blelloch"), sequential: await away("sequential") },
    compositions,
  };
}
