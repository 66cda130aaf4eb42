// Diagonal state matrices to begin training with (S4D, Gu et al. 2022, section 4).
import { integer, oneOf } from "../native/check.ts";
import { even, mostStates } from "./check.ts";
import { nplr } from "./nplr.ts";

/** A choice of eigenvalues; `s4dInit` says what each is. */
export type S4dKind = "lin" | "inv" | "legs" | "real" | "quad";

/** Eigenvalues and input weights. */
export interface S4dInit {
  /** Real parts, all negative. */
  real: Float64Array;
  /** Imaginary parts, none negative. */
  imag: Float64Array;
  /** (states, 2) complex: the input weights that belong to the kind; 1 but for "legs". */
  B: Float64Array;
}

const kinds: readonly S4dKind[] = ["lin", "inv", "legs", "real", "quad"];

/**
 * The eigenvalues that an S4D layer begins with, n = 0 ... N/2 - 1, one of each conjugate pair; N is even but for "real":
 *
 * - "lin": -1/2 + i pi n
 * - "inv": -1/2 + i (N / pi) (N / (2n + 1) - 1)
 * - "legs": the normal part of HiPPO-LegS, with its input weights; the fastest first
 * - "real": -(n + 1) for n = 0 ... N - 1
 * - "quad": -1/2 + (i / pi) (1 + 2n)^2
 *
 * @throws ArgumentError
 */
export function s4dInit(kind: S4dKind, N: number): S4dInit {
  const owner = "ssm.s4dInit";
  oneOf(owner, "kind", kind, kinds);
  integer(owner, "N", N, 1, mostStates);
  const states = kind === "real" ? N : even(owner, N) / 2;
  const each = (entry: (n: number) => number): Float64Array =>
    Float64Array.from({ length: states }, (_, n) => entry(n));
  const ones = Float64Array.from({ length: 2 * states }, (_, i) => 1 - (i % 2));
  const damped = (imag: (n: number) => number): S4dInit => ({ real: each(() => -0.5), imag: each(imag), B: ones });
  switch (kind) {
    case "lin":
      return damped((n) => Math.PI * n);
    case "inv":
      return damped((n) => (N / Math.PI) * (N / (2 * n + 1) - 1));
    case "quad":
      return damped((n) => (1 + 2 * n) ** 2 / Math.PI);
    case "real":
      return { real: each((n) => -(n + 1)), imag: each(() => 0), B: ones };
    case "legs": {
      const { w, B } = nplr("legs", N);
      // The other one of each pair.
      return {
        real: each((n) => w[2 * n]!),
        imag: each((n) => -w[2 * n + 1]!),
        B: B.slice(0, N).map((x, i) => (i % 2 === 0 ? x : -x)),
      };
    }
  }
}
