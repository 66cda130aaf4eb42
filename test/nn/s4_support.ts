// Layers of the S4 family with the numbers of golden files.
import { type nn, noGrad, scope, Tensor } from "statespace";
import { type Arr, array, reshaped } from "../reference/array.ts";
import { type Golden, transposed } from "../support/golden.ts";

export const tensor = ({ data, shape }: Arr, options: { requiresGrad?: boolean } = {}): Tensor =>
  Tensor.from(Float32Array.from(data), shape, options);

export async function read(t: Tensor | null): Promise<Arr> {
  if (!t) throw new Error("there is no tensor");
  return array(await t.data(), t.shape);
}

const negated = ({ data, shape }: Arr): Arr =>
  array(
    Float64Array.from(data, (x) => -x),
    shape,
  );

/** How a parameter is called in a file, and how its numbers become ours. */
type Names = Readonly<Record<string, readonly [theirs: string, change?: (x: Arr) => Arr]>>;

/** state-spaces/s4's minimal S4D. */
export const minimalNames: Names = {
  log_dt: ["kernel.log_dt"],
  log_A_real: ["kernel.log_A_real"],
  A_imag: ["kernel.A_imag"],
  C: ["kernel.C"],
  D: ["D"],
  "output_linear.weight": ["output_linear.0.weight"],
  "output_linear.bias": ["output_linear.0.bias"],
};

/** state-spaces/s4's S4Block, where A = -exp(A_real) - i A_imag. */
export const blockNames: Names = {
  log_dt: ["layer.kernel.inv_dt"],
  log_A_real: ["layer.kernel.A_real"],
  A_imag: ["layer.kernel.A_imag", negated],
  P: ["layer.kernel.P"],
  B: ["layer.kernel.B"],
  C: ["layer.kernel.C"],
  D: ["layer.D"],
  "output_linear.weight": ["output_linear.0.weight"],
  "output_linear.bias": ["output_linear.0.bias"],
};

/**
 * Puts a file's numbers into a layer and compares kernel, outputs, scan and all gradients. `gradientOf` gives what a file
 * says of a parameter of theirs.
 */
export async function expectGolden(
  golden: Golden,
  layer: nn.S4Layer,
  names: Names,
  gradientOf: (theirs: string) => Arr = (theirs) => golden.get(`grad.${theirs}`),
): Promise<void> {
  await scope.async(async () => {
    const ours = (name: string, get: (theirs: string) => Arr): Arr => {
      const [theirs, change = (x: Arr): Arr => x] = names[name] as Names[string];
      return reshaped(change(get(theirs)), (layer.stateDict()[name] as Tensor).shape);
    };
    const values = Object.keys(layer.stateDict()).map((name) => [name, tensor(ours(name, (n) => golden.get(n)))]);
    layer.loadStateDict(Object.fromEntries(values));
    const x = tensor(transposed(golden.get("u"), [0, 2, 1]), { requiresGrad: true });
    const K = golden.get("K");
    golden.expect("K", reshaped(await read(layer.kernel(x.shape[1] as number)), K.shape));
    const y = layer.forward(x);
    golden.expect("y", transposed(await read(y), [0, 2, 1]));
    y.backward(tensor(transposed(golden.get("grad_y"), [0, 2, 1])));
    golden.expect("grad.u", transposed(await read(x.grad), [0, 2, 1]));
    for (const [name, t] of layer.namedParameters()) {
      golden.expect(`grad.${(names[name] as Names[string])[0]}`, await read(t.grad), ours(name, gradientOf));
    }
    const scanned = noGrad(() => layer.prefill(x.detach()));
    golden.expect("y", transposed(await read(scanned.y), [0, 2, 1]));
    scanned.state.dispose();
    layer.dispose();
  });
}
