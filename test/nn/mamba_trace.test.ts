// Traces of a Mamba against its own steps.
import { expect } from "chai";
import { MambaLM, manualSeed, nn, ops, ShapeError, scope, Tensor } from "statespace";
import { onEveryDevice } from "../support/on_device.ts";

onEveryDevice("Mamba.trace", (device) => {
  const [batch, length, dModel] = [2, device.name.includes("emulator") ? 9 : 70, 4];

  it("has the outputs of forward, the norms of step's states, and what lasts", async () => {
    manualSeed(1);
    await scope.async(async () => {
      const layer = new nn.Mamba({ dModel, dState: 3, device, dtMin: 0.05, dtMax: 0.5 });
      const { dInner, dState } = layer.sizes;
      const x = Tensor.randn([batch, length, dModel], { device, seed: 2 });
      const { y, delta, stateNorm, retained } = layer.trace(x);
      expect([delta.shape, stateNorm.shape, retained.shape]).deep.equal([
        [batch, length, dInner],
        [batch, length],
        [batch, length],
      ]);
      const close = (found: ArrayLike<number>, expected: ArrayLike<number>): void => {
        for (let i = 0; i < expected.length; i++) expect(found[i], `at ${i}`).closeTo(expected[i] as number, 2e-5);
      };
      close(await y.data(), await layer.forward(x).data());

      const norms = await stateNorm.data();
      const state = layer.initialState(batch);
      for (let t = 0; t < length; t++) {
        layer.step(ops.reshape(ops.slice(x, 1, t, t + 1), [batch, dModel]), state);
        const scan = await state.scan.data();
        for (let b = 0; b < batch; b++) {
          const part = scan.slice(b * dInner * dState, (b + 1) * dInner * dState) as Float32Array;
          expect(norms[b * length + t]).closeTo(Math.hypot(...part), 2e-5 * Math.max(1, Math.hypot(...part)));
        }
      }
      state.dispose();

      const [deltas, rests, logs] = [await delta.data(), await retained.data(), await layer.A_log.data()];
      for (const t of [0, length >> 1, length - 1]) {
        let sum = 0;
        for (let d = 0; d < dInner; d++) {
          let later = 0;
          for (let s = t + 1; s < length; s++) later += deltas[(length + s) * dInner + d] as number;
          for (let n = 0; n < dState; n++) sum += Math.exp(-Math.exp(logs[d * dState + n] as number) * later);
        }
        expect(rests[length + t]).closeTo(sum / (dInner * dState), 2e-5);
      }
      layer.dispose();
    });
  });

  it("of a language model has a trace for each layer, and refuses wrong ids", async () => {
    const model = new MambaLM({ vocabSize: 9, dModel, nLayer: 3, dState: 2 }, { device });
    const ids = Tensor.from(Int32Array.from([1, 2, 3, 4]), [1, 4], { device });
    const traces = model.trace(ids);
    expect(traces.length).equal(3);
    const state = model.initialState(1);
    for (const id of [1, 2, 3, 4]) model.step(Tensor.from(Int32Array.of(id), [1], { device }), state).dispose();
    for (const [i, { stateNorm }] of traces.entries()) {
      const scan = (await state.layers[i]!.scan.data()) as Float32Array;
      expect((await stateNorm.data())[3]).closeTo(Math.hypot(...scan), 1e-5);
    }
    for (const wrong of [Tensor.from(Int32Array.of(1), [1], { device }), ops.slice(ids, 1, 0, 0)]) {
      expect(() => model.trace(wrong)).throw(ShapeError, /MambaLM\.trace: ids is \[/);
    }
    const { mixer } = model.backbone.layers[0]!;
    expect(() => mixer.trace(Tensor.zeros([1, 0, dModel], { device }))).throw(
      ShapeError,
      /Mamba\.trace: x is \[1, 0, 4\]/,
    );
    expect(() => mixer.trace(Tensor.zeros([1, 2, 5], { device }))).throw(ShapeError, /Mamba\.trace: x is \[1, 2, 5\]/);
    model.dispose();
  });
});
