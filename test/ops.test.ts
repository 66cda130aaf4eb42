// Every op on every device against its float64 reference: outputs and all gradients.
import { ops, scope, Tensor } from "statespace";
import { kernels } from "statespace/kernels";
import { arrays, type DType, type OpCase, type OpSuite, type StoredInput, stored, upstream } from "./cases/case.ts";
import { suites } from "./cases/index.ts";
import type { Ops } from "./cases/ops.ts";
import { array } from "./reference/array.ts";
import { expectClose, tolerance } from "./support/close.ts";
import { testDevices } from "./support/devices.ts";

// The optimiser's step is no op of users, but is tested like one.
const tested = { ...ops, adamw: kernels.adamw } as unknown as Ops<Tensor>;

async function read(t: Tensor): Promise<{ data: Float32Array | Int32Array; shape: readonly number[] }> {
  return { data: await t.data(), shape: t.shape };
}

async function check(suite: OpSuite, testCase: OpCase, dtype: DType, device: Tensor["device"]): Promise<void> {
  const host = stored(testCase.inputs(), dtype);
  const reference = suite.reference(arrays(host), testCase.options);
  const make = ({ data, shape, dtype }: StoredInput): Tensor => Tensor.from(data, shape, { dtype, device });
  await scope.async(async () => {
    const tensors = Object.fromEntries(Object.entries(host).map(([name, input]) => [name, make(input)]));
    for (const name of testCase.gradients) if (tensors[name]) (tensors[name] as Tensor).requiresGrad = true;
    const got = suite.run(tested, tensors, testCase.options);
    for (const [name, t] of Object.entries(got)) {
      const want = reference.outputs[name];
      if (!want) throw new Error(`the reference has no output ${name}`);
      expectClose(name, await read(t), want, tolerance(dtype, "output"));
    }
    if (!reference.backward || testCase.gradients.length === 0) return;
    const weights = Object.fromEntries(
      Object.entries(got).map(([name, t]) => [name, upstream(name, t.shape, t.dtype)]),
    );
    const losses = Object.entries(got).map(([name, t]) =>
      ops.sum(ops.cast(ops.mul(t, make(weights[name] as StoredInput)), "float32")),
    );
    losses.reduce((a, b) => ops.add(a, b)).backward();
    const wanted = reference.backward(arrays(weights));
    for (const name of testCase.gradients) {
      if (!tensors[name]) continue;
      const gradient = (tensors[name] as Tensor).grad;
      const want = wanted[name];
      if (!want) throw new Error(`the reference has no gradient of ${name}`);
      if (!gradient) throw new Error(`no gradient of ${name}`);
      expectClose(
        `gradient of ${name}`,
        await read(gradient),
        array(want.data, want.shape),
        tolerance(dtype, "gradient"),
      );
      gradient.dispose();
    }
  });
}

for (const device of testDevices()) {
  describe(`ops on ${device.kind} (${device.name})`, () => {
    for (const suite of suites) {
      describe(suite.op, () => {
        for (const testCase of suite.cases) {
          if (testCase.benchmark) continue;
          for (const dtype of testCase.dtypes) {
            it(`${testCase.name}, ${dtype}`, () => check(suite, testCase, dtype, device));
          }
        }
      });
    }
  });
}
