// Boundaries of packed sequences are data of the device: what is wrong with them is reported when a result is read,
// and the device goes on.
import { expect } from "chai";
import { ops, scope, Tensor } from "statespace";
import { onEveryDevice } from "../support/on_device.ts";
import { normal, uniform } from "../support/random.ts";

const [length, channels, states] = [300, 6, 16];

function tensor({ data, shape }: { data: Float32Array; shape: readonly number[] }): Tensor {
  return Tensor.from(data, shape);
}

function scan(cuSeqlens: Tensor | null, timeChunks: number): Tensor {
  return ops.selectiveScan(
    tensor(normal([1, length, channels], 1)),
    tensor(normal([1, length, channels], 2)),
    tensor(uniform([channels, states], 3, -2, -0.05)),
    tensor(normal([1, length, states], 4)),
    tensor(normal([1, length, states], 5)),
    { deltaSoftplus: true, cuSeqlens, timeChunks },
  );
}

function convolve(cuSeqlens: Tensor | null): Tensor {
  return ops.causalConv1d(tensor(normal([1, length, channels], 1)), tensor(normal([channels, 4], 2)), null, {
    cuSeqlens,
  });
}

const calls: [string, string, (cuSeqlens: Tensor | null) => Tensor][] = [
  ["causalConv1d", "causalConv1dForward", convolve],
  ["selectiveScan with one chunk of time", "selectiveScanForward", (boundaries) => scan(boundaries, 1)],
  ["selectiveScan with 4 chunks of time", "selectiveScanForward", (boundaries) => scan(boundaries, 4)],
];

onEveryDevice("boundaries of packed sequences", () => {
  for (const [title, op, call] of calls) {
    for (const [boundaries, problem] of [
      [[1, 300], "cuSeqlens[0] is 1, expected 0"],
      [[0, 200, 100, 300], "cuSeqlens[2] is 100, expected at least the 200 before it"],
      [[0, 400, 300], "cuSeqlens[2] is 300, expected at least the 400 before it"],
      [[0, -5, 300], "cuSeqlens[1] is -5, expected at least the 0 before it"],
      [[0, 100, 299], "cuSeqlens[2] is 299, expected the length 300"],
      [[0, 100, 301], "cuSeqlens[2] is 301, expected the length 300"],
    ] as const) {
      it(`[${boundaries}] are reported by ${title}, which goes on`, () =>
        scope.async(async () => {
          const error = await call(Tensor.from(Int32Array.from(boundaries), [boundaries.length]))
            .data()
            .then(
              () => null,
              (reason: Error & { code?: string }) => reason,
            );
          expect(error?.message).to.include(`${op}: ${problem}`);
          expect(error?.code).to.equal("ERR_ARGUMENT");
          expect((await call(null).data()).length).to.equal(length * channels);
        }));
    }
  }
});
