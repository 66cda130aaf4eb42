// What a kernel cannot be faster than: its work over what the device was measured to reach.

/** What a device reaches at best, measured in the same run; all in a millisecond. What is absent was not measured. */
export interface Ceilings {
  /** Bytes copied: read and written, beyond the caches. */
  bytes: number;
  /** Float32 multiply-adds, each lane of a vector counted. */
  multiplyAdds: number;
  /** Multiply-adds of a large product of matrices in the 16-bit type, with float32 sums. */
  matrixMultiplyAdds?: number;
  /** Exponentials of the GPU's special function units. */
  exponentials?: number;
  /** Instructions of a thread that the GPU's schedulers issue. */
  instructions?: number;
}

/** What an algorithm must do, whoever writes it. */
export interface Work {
  /** Read and written once, if everything else stays on the chip. */
  readonly bytes: number;
  /** Float32 multiply-adds, products and sums. */
  readonly multiplyAdds?: number;
  readonly exponentials?: number;
  /** Multiply-adds that tensor cores can do. */
  readonly matrixMultiplyAdds?: number;
  /** (element, state) pairs of a scan, to which counts of instructions refer. */
  readonly pairs?: number;
}

export type BoundName = "memory" | "multiply-adds" | "exponentials" | "issue" | "matrix";

export interface Bound {
  readonly name: BoundName;
  readonly ms: number;
}

// 2^x by a polynomial of degree 5 on the CPU: rounding, six multiply-adds, scaling.
const operationsPerExponential = 9;
// Less than this may stay in a CPU's caches from one run to the next; memory does not limit it then.
const cachedBytes = 64 << 20;

/**
 * The limits of some work, the largest first. On the CPU exponentials are multiply-adds, and what fits into its caches has
 * no limit by memory (inputs are not rotated there). `slots` are instructions per (element, state) pair of the code as
 * compiled: that limit is the code's, the others are the chip's.
 */
export function boundsOf(work: Work, ceilings: Ceilings, kind: "cpu" | "cuda", slots?: number): Bound[] {
  const bounds: Bound[] = [];
  const add = (name: BoundName, amount: number | undefined, rate: number | undefined): void => {
    if (amount !== undefined && amount > 0 && rate !== undefined) bounds.push({ name, ms: amount / rate });
  };
  const { bytes, multiplyAdds = 0, exponentials = 0, matrixMultiplyAdds, pairs } = work;
  if (kind === "cpu") {
    if (bytes >= cachedBytes) add("memory", bytes, ceilings.bytes);
    const operations = multiplyAdds + operationsPerExponential * exponentials + (matrixMultiplyAdds ?? 0);
    add("multiply-adds", operations, ceilings.multiplyAdds);
  } else {
    add("memory", bytes, ceilings.bytes);
    add("multiply-adds", multiplyAdds, ceilings.multiplyAdds);
    add("exponentials", exponentials, ceilings.exponentials);
    add("matrix", matrixMultiplyAdds, ceilings.matrixMultiplyAdds ?? ceilings.multiplyAdds);
    if (slots !== undefined) add("issue", pairs === undefined ? undefined : pairs * slots, ceilings.instructions);
  }
  return bounds.sort((a, b) => b.ms - a.ms);
}
