// Where the algorithms of the prefix scan part: products of a beyond the range of float32.
import { expect } from "chai";
import { ops, scope, Tensor } from "statespace";
import { onCpu } from "../support/on_device.ts";

const shape = [1, 256, 3];

const scan = (a: readonly number[], b: number, algorithm: "sequential" | "blelloch" | "chunked") =>
  scope.async(async () => {
    const factors = Tensor.from(
      Float32Array.from({ length: 256 * 3 }, (_, i) => a[Math.floor(i / 3) % a.length] as number),
      shape,
    );
    return Array.from(await ops.associativeScan(factors, Tensor.full(shape, b), { algorithm }).data());
  });

onCpu("associativeScan beyond the range of float32", () => {
  for (const algorithm of ["blelloch", "chunked"] as const) {
    it(`${algorithm} agrees with the sequence while products of |a| > 1 stay in range`, async () => {
      const [got, want] = [await scan([2, 0.5], 1, algorithm), await scan([2, 0.5], 1, "sequential")];
      got.forEach((value, i) => {
        expect(value).closeTo(want[i] as number, 1e-5 * (want[i] as number));
      });
    });

    it(`${algorithm} is not finite where they overflow, and the sequence is`, async () => {
      expect((await scan([1e30], 0, "sequential")).every((value) => value === 0)).equal(true);
      expect((await scan([1e30], 0, algorithm)).some(Number.isNaN)).equal(true);
      expect((await scan([1e30, 1e30, 0], 0, "sequential")).every((value) => value === 0)).equal(true);
      expect((await scan([1e30, 1e30, 0], 0, algorithm)).some(Number.isNaN)).equal(true);
    });
  }
});
