// What the page asks and what the server answers: the knobs of each panel with their ranges, and the results.
import { choice, type Fields, number, type Values } from "./fields.ts";

/** Points of a drawn signal. */
export const drawnPoints = 64;

const flat: readonly number[] = new Array<number>(drawnPoints).fill(0);

export const discretization = {
  real: number({ label: "Re a", least: -3, most: 0.5, start: -0.6 }),
  imag: number({ label: "Im a (0: plain decay)", least: 0, most: 12, start: 4 }),
  dt: number({ label: "dt", least: 0.02, most: 1, start: 0.3, isLog: true }),
  method: choice("rule", ["zoh", "bilinear", "gbt", "euler", "backward", "foh", "mamba"], "zoh"),
  alpha: number({ label: "alpha of gbt", least: 0, most: 1, start: 0.5 }),
  signal: choice("signal", ["free motion", "step", "pulse", "sine", "sawtooth", "noise"], "free motion"),
} satisfies Fields;

export interface DiscretizationResult {
  /** dt a, Ā, B̄ as (re, im). */
  z: [number, number];
  A: [number, number];
  B: [number, number];
  modulus: number;
  exact: { t: number[]; u: number[]; x: number[] };
  sampled: { t: number[]; u: number[]; x: number[] };
  /** Ā as dt grows from 0 to the knob's end. */
  path: [number, number][];
  /** Where |Ā| < 1 in the plane of z: cells of a square around 0, rows from below. */
  region: { halfWidth: number; cells: number; isStable: boolean[] };
}

export const hippo = {
  measure: choice("measure", ["legs, scaled", "legs, fading", "legt", "fourier", "lagt"], "legs, scaled"),
  N: choice("N, numbers kept", [2, 4, 8, 16, 32, 64], 32),
  theta: number({ label: "theta, window", least: 0.5, most: 10, start: 4 }),
  dt: number({ label: "dt", least: 0.005, most: 0.2, start: 0.02, digits: 3, isLog: true }),
  method: choice("rule", ["bilinear", "zoh", "backward", "euler"], "bilinear"),
  signal: choice("signal", ["waves", "steps", "chirp", "noise", "drawn"], "waves"),
  drawn: { kind: "numbers", label: "drawn", least: -2, most: 2, count: drawnPoints, start: flat, isDrawn: true },
} satisfies Fields;

/** Moments at which the memory is read back. */
export const hippoFrames = 50;

/** Length of its signal in time. */
export const hippoSpan = 10;

export interface HippoResult {
  samples: number;
  /** Points of the charts, the whole signal over them, and drawnPoints of it. */
  t: number[];
  u: number[];
  outline: number[];
  frames: {
    time: number;
    /** What is remembered at each point of t; null before the window and after now. */
    past: (number | null)[];
    /** Root mean square of the error over what the measure covers. */
    error: number;
  }[];
}

export const kernel = {
  init: choice("init of A", ["lin", "inv", "legs", "quad", "real"], "lin"),
  N: choice("N, states", [4, 8, 16, 32, 64, 128], 32),
  dt: number({ label: "dt", least: 0.001, most: 0.5, start: 0.02, digits: 3, isLog: true }),
  discretization: choice("rule", ["zoh", "bilinear"], "zoh"),
  length: choice("length", [64, 128, 256, 512, 1024, 2048], 512),
  C: choice("C, read-out", ["random", "ones"], "random"),
  seed: number({ label: "seed of C", least: 0, most: 99, start: 1, digits: 0 }),
  input: choice("input", ["pulse", "impulse", "step", "sine", "chirp", "noise"], "pulse"),
} satisfies Fields;

export interface KernelResult {
  K: number[];
  u: number[];
  convolution: number[];
  recurrence: number[];
  /** The largest difference of the two outputs, and the largest output. */
  difference: number;
  size: number;
  device: string;
}

export const scan = {
  pairs: choice("pairs (a, b)", ["running sum", "decay", "random", "resets", "own"], "random"),
  length: number({ label: "length", least: 2, most: 16, start: 8, digits: 0 }),
  seed: number({ label: "seed", least: 0, most: 99, start: 1, digits: 0 }),
  a: { kind: "numbers", label: "own a", least: -100, most: 100, count: 16, start: [0.5, 0.5, 0.5, 0.5] },
  b: { kind: "numbers", label: "own b", least: -100, most: 100, count: 16, start: [1, 2, 3, 4] },
} satisfies Fields;

export interface ScanStage {
  title: string;
  text: string;
  /** (a, b) at each place of the tree. */
  values: [number, number][];
  /** Which places of the stage before each changed place came from. */
  changed: { place: number; from: number[] }[];
}

export interface ScanResult {
  a: number[];
  b: number[];
  stages: ScanStage[];
  h: number[];
  /** The largest differences of ops.associativeScan by two algorithms from h. */
  difference: { blelloch: number; sequential: number };
  compositions: number;
}

export const memory = {
  text: {
    kind: "text",
    label: "text",
    most: 600,
    start:
      "interface Reader {\n  /** Reads the next line. */\n  readLine(): Promise<string | null>;\n}\n\nconst count = 1024;\n",
  },
  layer: number({ label: "layer", least: 0, most: 63, start: 0, digits: 0 }),
  show: choice("colours show", ["delta", "retained", "state norm"], "delta"),
} satisfies Fields;

export interface MemoryResult {
  /** What each token stands for. */
  tokens: string[];
  layers: {
    /** Over channels: mean, tenth and ninetieth percentile of each token's delta. */
    delta: { mean: number[]; low: number[]; high: number[] };
    stateNorm: number[];
    retained: number[];
  }[];
}

/** The panels in their order; `chapter` is a file of docs/theory. */
export const panels = {
  discretization: { title: "Discretization", chapter: "1-discretization.md", fields: discretization },
  hippo: { title: "HiPPO", chapter: "5-hippo.md", fields: hippo },
  kernel: { title: "Kernel", chapter: "3-convolution.md", fields: kernel },
  scan: { title: "Scan", chapter: "8-parallel-scan.md", fields: scan },
  memory: { title: "Memory", chapter: "7-selective-scan.md", fields: memory },
} as const;

export type PanelName = keyof typeof panels;
export type PanelValues<P extends PanelName> = Values<(typeof panels)[P]["fields"]>;

export interface Results {
  discretization: DiscretizationResult;
  hippo: HippoResult;
  kernel: KernelResult;
  scan: ScanResult;
  memory: MemoryResult;
}

/** What went wrong with a request. */
export interface Failure {
  code: string;
  message: string;
  argument?: string;
  found?: unknown;
  needed?: string;
  remedy?: string;
}

/** A computation without a finite result is an answer, too: a failure with status 200. */
export type Answer<T> = { result: T } | { failure: Failure };

export interface About {
  version: string;
  device: string;
  /** The model of the memory panel, or null and how to get one. */
  model: { folder: string; layers: number; dModel: number; parameters: number } | null;
  remedy: string;
  /** Files of docs/theory that are there. */
  chapters: string[];
}
