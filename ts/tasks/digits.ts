// Digits in sequence, without a download: ten bitmaps, turned, scaled, sheared and moved, read pixel by pixel.
import { integer } from "../native/check.ts";
import { Random } from "./random.ts";
import { Task } from "./task.ts";

/** Options of `digits`. */
export interface DigitsOptions {
  /** Pixels along an edge, 16 by default; a sequence has as many steps as pixels. */
  side?: number | undefined;
  /** Read the pixels in one fixed random order, so that neighbours are far apart. False by default. */
  permuted?: boolean | undefined;
}

const [columns, rows] = [5, 7];

// Seven rows of five cells each.
const glyphs = [
  "01110 10001 10011 10101 11001 10001 01110",
  "00100 01100 00100 00100 00100 00100 01110",
  "01110 10001 00001 00010 00100 01000 11111",
  "11111 00010 00100 00010 00001 10001 01110",
  "00010 00110 01010 10010 11111 00010 00010",
  "11111 10000 11110 00001 00001 10001 01110",
  "00110 01000 10000 11110 10001 10001 01110",
  "11111 00001 00010 00100 01000 01000 01000",
  "01110 10001 10001 01110 10001 10001 01110",
  "01110 10001 10001 01111 00001 00010 01100",
].map((text) => Uint8Array.from(text.replaceAll(" ", ""), Number));

/** Value of a glyph between its cells: bilinear, 0 outside. */
function sampled(glyph: Uint8Array, x: number, y: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, down] = [x - left, y - top];
  const cell = (row: number, column: number): number =>
    row >= 0 && row < rows && column >= 0 && column < columns ? (glyph[row * columns + column] as number) : 0;
  return (
    (1 - down) * ((1 - right) * cell(top, left) + right * cell(top, left + 1)) +
    down * ((1 - right) * cell(top + 1, left) + right * cell(top + 1, left + 1))
  );
}

/** A noisy picture of `digit`, side * side pixels, row by row. */
export function drawDigit(random: Random, digit: number, side: number): Float32Array {
  const glyph = glyphs[digit] as Uint8Array;
  const angle = random.uniform(-0.26, 0.26);
  const scale = (random.uniform(0.7, 1.05) * side) / 10;
  const shear = random.uniform(-0.15, 0.15);
  const [moveX, moveY] = [random.uniform(-0.1, 0.1) * side, random.uniform(-0.1, 0.1) * side];
  const weight = random.uniform(0, 0.35);
  const [cos, sin] = [Math.cos(angle) / scale, Math.sin(angle) / scale];
  const centre = (side - 1) / 2;
  const picture = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      // From the canvas back to the cells.
      const [dx, dy] = [column - centre - moveX, row - centre - moveY];
      const [turnedX, turnedY] = [cos * dx + sin * dy, cos * dy - sin * dx];
      const value = sampled(glyph, turnedX + shear * turnedY + (columns - 1) / 2, turnedY + (rows - 1) / 2);
      const ink = Math.min(1, Math.max(0, (value - 0.5 + weight) * 4 + 0.5));
      picture[row * side + column] = ink + 0.15 * random.normal();
    }
  }
  return picture;
}

/**
 * One channel, a pixel a step; the answer is which digit it was, read from the mean over time.
 *
 * @throws ArgumentError
 */
export function digits({ side = 16, permuted = false }: DigitsOptions = {}): Task {
  integer("digits", "side", side, 7, 256);
  const pixels = side * side;
  // Always the same order: it is part of the task, whatever the seed of the data.
  const order = permuted ? new Random(side).permutation(pixels) : undefined;
  return new Task({
    name: permuted ? "permuted-digits" : "digits",
    about: `tell ten digits from ${side} x ${side} pixels in ${permuted ? "a fixed random order" : "sequence"}`,
    inputs: { kind: "signal", channels: 1 },
    outputs: { kind: "classes", classes: 10 },
    reading: "mean",
    metric: { name: "accuracy", chance: 0.1 },
    length: pixels,
    shortest: pixels,
    longest: pixels,
    fill(random, inputs, targets) {
      targets[0] = random.integer(10);
      const picture = drawDigit(random, targets[0], side);
      inputs.set(order ? picture.map((_, i) => picture[order[i] as number] as number) : picture);
    },
  });
}
