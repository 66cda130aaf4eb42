import { nn, noGrad, scope, Tensor } from "statespace";
import { type Arr, array } from "../reference/array.ts";
import { describeGolden, type Golden, type GoldenCase, transposed } from "../support/golden.ts";
import { onEveryDevice } from "../support/on_device.ts";

const tensor = ({ data, shape }: Arr, options: { requiresGrad?: boolean } = {}): Tensor =>
  Tensor.from(Float32Array.from(data), shape, options);
const read = async (t: Tensor | null): Promise<Arr> => {
  if (!t) throw new Error("there is no tensor");
  return array(await t.data(), t.shape);
};
const reshaped = ({ data }: Arr, shape: readonly number[]): Arr => array(Float64Array.from(data), shape);
const negated = ({ data, shape }: Arr): Arr =>
  array(
    Float64Array.from(data, (x) => -x),
    shape,
  );

/** How a parameter is called in a file, and how its numbers become ours. */
type Names = Readonly<Record<string, readonly [string, ((x: Arr) => Arr)?]>>;

const minimal: Names = {
  log_dt: ["kernel.log_dt"],
  log_A_real: ["kernel.log_A_real"],
  A_imag: ["kernel.A_imag"],
  C: ["kernel.C"],
  D: ["D"],
  "output_linear.weight": ["output_linear.0.weight"],
  "output_linear.bias": ["output_linear.0.bias"],
};
const full: Names = {
  log_dt: ["layer.kernel.inv_dt"],
  log_A_real: ["layer.kernel.A_real"],
  // There A = -exp(A_real) - i A_imag.
  A_imag: ["layer.kernel.A_imag", negated],
  B: ["layer.kernel.B"],
  C: ["layer.kernel.C"],
  D: ["layer.D"],
  "output_linear.weight": ["output_linear.0.weight"],
  "output_linear.bias": ["output_linear.0.bias"],
};

async function layer(golden: Golden, { H, N }: GoldenCase["flags"], names: Names): Promise<void> {
  await scope.async(async () => {
    const made = new nn.S4D({ dModel: H as number, dState: N as number, inputWeights: "B" in names });
    const ours = (name: string, prefix = ""): Arr => {
      const [theirs, change = (x: Arr): Arr => x] = names[name] as Names[string];
      return reshaped(change(golden.get(`${prefix}${theirs}`)), (made.stateDict()[name] as Tensor).shape);
    };
    made.loadStateDict(Object.fromEntries(Object.keys(made.stateDict()).map((name) => [name, tensor(ours(name))])));
    const x = tensor(transposed(golden.get("u"), [0, 2, 1]), { requiresGrad: true });
    const length = x.shape[1] as number;
    const K = golden.get("K");
    golden.expect("K", reshaped(await read(made.kernel(length)), K.shape));
    const y = made.forward(x);
    golden.expect("y", transposed(await read(y), [0, 2, 1]));
    y.backward(tensor(transposed(golden.get("grad_y"), [0, 2, 1])));
    golden.expect("grad.u", transposed(await read(x.grad), [0, 2, 1]));
    for (const [name, t] of made.namedParameters()) {
      const theirs = (names[name] as Names[string])[0];
      golden.expect(`grad.${theirs}`, await read(t.grad), ours(name, "grad."));
    }
    const scanned = noGrad(() => made.prefill(x.detach()));
    golden.expect("y", transposed(await read(scanned.y), [0, 2, 1]));
    scanned.state.dispose();
    made.dispose();
  });
}

onEveryDevice("nn.S4D", () => {
  describeGolden("s4d_layer", (golden, flags) => layer(golden, flags, minimal));
  describeGolden(
    "s4_block",
    (golden, flags) => layer(golden, flags, full),
    ({ mode }) => mode !== "diag",
  );
});
