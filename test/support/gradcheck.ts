// Finite differences of a scalar function of float64 arrays, to check gradients written by hand.
import { generator } from "./random.ts";

/** f'(0) by central differences of fourth order: the error is about step^4 f^(5)(0) / 30. */
function derivative(f: (offset: number) => number, step: number): number {
  return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step);
}

/** The gradient of `loss` with respect to `x`, element by element; `loss` reads `x`, which is restored. */
export function numericalGradient(loss: () => number, x: Float64Array, step = 1e-3): Float64Array {
  return x.map((value, i) => {
    const result = derivative((offset) => {
      x[i] = value + offset;
      return loss();
    }, step);
    x[i] = value;
    return result;
  });
}

/** The derivative of `loss` along `direction` in `x`, which is restored. */
export function directionalDerivative(
  loss: () => number,
  x: Float64Array,
  direction: Float64Array,
  step = 1e-3,
): number {
  const before = x.slice();
  const result = derivative((offset) => {
    for (let i = 0; i < x.length; i++) x[i] = (before[i] ?? 0) + offset * (direction[i] ?? 0);
    return loss();
  }, step);
  x.set(before);
  return result;
}

/** A random direction of unit length. */
export function randomDirection(size: number, seed: number): Float64Array {
  const random = generator(seed);
  const direction = Float64Array.from({ length: size }, () => random() - 0.5);
  const norm = Math.sqrt(dot(direction, direction)) || 1;
  return direction.map((x) => x / norm);
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

export interface GradientCheck {
  /** Scalar function of the arrays in `inputs`. */
  loss: () => number;
  inputs: Record<string, Float64Array>;
  /** By the name of the input. */
  gradients: Record<string, Float64Array>;
  step?: number;
  tolerance?: number;
}

/** Every element of every gradient, relative to the norm of the gradient. */
export function expectGradients({ loss, inputs, gradients, step = 1e-3, tolerance = 1e-7 }: GradientCheck): void {
  for (const [name, gradient] of Object.entries(gradients)) {
    const x = input(inputs, name, gradient);
    const numerical = numericalGradient(loss, x, step * typicalSize(x));
    const scale = Math.sqrt(dot(gradient, gradient)) || 1;
    numerical.forEach((want, i) => {
      const error = Math.abs((gradient[i] ?? Number.NaN) - want) / scale;
      if (error <= tolerance) return;
      throw new Error(`gradient of ${name} at ${i} is ${gradient[i]}, finite differences give ${want}`);
    });
  }
}

/** The same along a few random directions: cheap enough for every size. */
export function expectDirectionalGradients(
  { loss, inputs, gradients, step = 1e-3, tolerance = 1e-7 }: GradientCheck,
  directions = 2,
): void {
  for (const [name, gradient] of Object.entries(gradients)) {
    const x = input(inputs, name, gradient);
    // A unit direction moves each of n elements by 1 / sqrt(n); the step grows with that.
    const reach = step * typicalSize(x) * Math.sqrt(x.length);
    for (let seed = 1; seed <= directions; seed++) {
      const direction = randomDirection(x.length, seed);
      const want = directionalDerivative(loss, x, direction, reach);
      const got = dot(gradient, direction);
      const scale = Math.sqrt(dot(gradient, gradient)) || 1;
      if (Math.abs(got - want) / scale <= tolerance) continue;
      throw new Error(`gradient of ${name} along direction ${seed} is ${got}, finite differences give ${want}`);
    }
  }
}

/** Root mean square, at most 1: steps are small beside small values, but not beside vanishing ones. */
function typicalSize(x: Float64Array): number {
  const size = Math.sqrt(dot(x, x) / Math.max(x.length, 1));
  return size < 1e-8 ? 1 : Math.min(1, size);
}

function input(inputs: Record<string, Float64Array>, name: string, gradient: Float64Array): Float64Array {
  const x = inputs[name];
  if (!x || x.length !== gradient.length) throw new Error(`gradient of ${name} has ${gradient.length} elements`);
  return x;
}
