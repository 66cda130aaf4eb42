// The Mamba block against golden vectors: outputs, states, all gradients; steps and chunks against one run.
import { expect } from "chai";
import { checkpoint, nn, noGrad, ops, scope, Tensor } from "statespace";
import { type Arr, array } from "../reference/array.ts";
import { expectClose, tolerance } from "../support/close.ts";
import { describeGolden, type Golden, type GoldenCase, transposed } from "../support/golden.ts";
import { onEveryDevice } from "../support/on_device.ts";

type Flags = GoldenCase["flags"];

const tensor = ({ data, shape }: Arr, options: { requiresGrad?: boolean } = {}): Tensor =>
  Tensor.from(Float32Array.from(data), shape, options);
const read = async (t: Tensor | null): Promise<Arr> => {
  if (!t) throw new Error("there is no tensor");
  return array(await t.data(), t.shape);
};

async function block(golden: Golden, flags: Flags): Promise<void> {
  const sizes = flags as { d_model: number; d_inner: number; d_state: number; d_conv: number; dt_rank: number };
  await scope.async(async () => {
    const layer = new nn.Mamba({
      dModel: sizes.d_model,
      dState: sizes.d_state,
      dConv: sizes.d_conv,
      expand: sizes.d_inner / sizes.d_model,
      dtRank: sizes.dt_rank,
      bias: flags.bias as boolean,
      convBias: flags.conv_bias as boolean,
    });
    layer.loadStateDict(
      Object.fromEntries(Object.keys(layer.stateDict()).map((name) => [name, tensor(golden.get(name))])),
    );
    const x = tensor(golden.get("hidden_states"), { requiresGrad: true });
    const { y, state } = layer.prefill(x);
    golden.expect("out", await read(y));
    golden.expect("ssm_state", await read(state.scan));
    const window = ops.slice(tensor(golden.get("conv_state")), 2, 1);
    expectClose("conv_state", await read(state.conv), await read(window), tolerance("float32", "output"));
    for (const recompute of [false, true]) {
      (layer as { recompute: boolean }).recompute = recompute;
      layer.zeroGrad();
      x.grad = null;
      layer.forward(x).backward(tensor(golden.get("grad_out")));
      golden.expect("grad.hidden_states", await read(x.grad));
      for (const [name, t] of layer.namedParameters()) golden.expect(`grad.${name}`, await read(t.grad));
    }
    await stepwise(layer, x, golden);
  });
}

async function stepwise(layer: nn.Mamba, x: Tensor, golden: Golden): Promise<void> {
  const [batch, length, dModel] = x.shape as [number, number, number];
  const state = layer.initialState(batch);
  const outputs = Array.from({ length }, (_, t) => {
    const token = ops.reshape(ops.slice(x.detach(), 1, t, t + 1), [batch, dModel]);
    return ops.reshape(layer.step(token, state), [batch, 1, dModel]);
  });
  golden.expect("out", await read(ops.concat(outputs, 1)));
  golden.expect("ssm_state", await read(state.scan));
  const window = ops.slice(tensor(golden.get("conv_state")), 2, 1);
  expectClose("conv_state", await read(state.conv), await read(window), tolerance("float32", "output"));
}

/** The block's inside from public operations: what `mambaInner` fuses, and biases of B and C, which it has not. */
function composed(t: Readonly<Record<string, Tensor | undefined>>, rank: number): Tensor {
  const need = (name: string): Tensor => t[name] as Tensor;
  const A = need("A");
  const [inner, states, ...pair] = A.shape as [number, number];
  const weight = need("conv1d_weight");
  const u = ops.causalConv1d(
    ops.slice(need("xz"), 2, 0, inner),
    ops.reshape(weight, [inner, weight.shape[2] as number]),
    t.conv1d_bias,
    { activation: "silu" },
  );
  const projected = ops.linear(u, need("x_proj_weight"));
  const numbers = pair.reduce((n, size) => n * size, states);
  const part = (start: number, bias: Tensor | undefined): Tensor => {
    const flat = ops.slice(projected, 2, start, start + numbers);
    const full = bias ? ops.add(flat, bias) : flat;
    return pair.length > 0 ? ops.reshape(full, [...full.shape.slice(0, 2), states, ...pair]) : full;
  };
  const delta = ops.linear(ops.slice(projected, 2, 0, rank), need("delta_proj_weight"));
  const out = ops.selectiveScan(u, delta, A, part(rank, t.B_proj_bias), part(rank + numbers, t.C_proj_bias), {
    D: t.D,
    z: ops.slice(need("xz"), 2, inner),
    deltaBias: t.delta_bias,
    deltaSoftplus: true,
  });
  return ops.linear(out, need("out_proj_weight"), t.out_proj_bias);
}

function fused(t: Readonly<Record<string, Tensor | undefined>>): Tensor {
  const need = (name: string): Tensor => t[name] as Tensor;
  const weight = need("conv1d_weight");
  const { out } = ops.mambaInner(need("xz"), {
    convWeight: ops.reshape(weight, [weight.shape[0] as number, weight.shape[2] as number]),
    convBias: t.conv1d_bias,
    xProjection: need("x_proj_weight"),
    dtProjection: need("delta_proj_weight"),
    dtBias: need("delta_bias"),
    A: need("A"),
    D: need("D"),
  });
  return ops.linear(out, need("out_proj_weight"), t.out_proj_bias);
}

async function inner(golden: Golden, flags: Flags): Promise<void> {
  const names = [...golden.file.tensors.keys()].filter((name) => !/^(out$|grad)/.test(name));
  const inputs = names.map(
    (name) => [name, name === "xz" ? transposed(golden.get(name), [0, 2, 1]) : golden.get(name)] as const,
  );
  const hasInnerBias = names.includes("B_proj_bias");
  const ways = [(t: Record<string, Tensor>) => composed(t, flags.rank as number), ...(hasInnerBias ? [] : [fused])];
  for (const run of ways) {
    await scope.async(async () => {
      const tensors = Object.fromEntries(inputs.map(([name, value]) => [name, tensor(value, { requiresGrad: true })]));
      const out = run(tensors);
      golden.expect("out", await read(out));
      out.backward(tensor(golden.get("grad_out")));
      for (const [name, t] of Object.entries(tensors)) {
        const gradient = await read(t.grad);
        golden.expect(`grad.${name}`, name === "xz" ? transposed(gradient, [0, 2, 1]) : gradient);
      }
    });
  }
}

onEveryDevice("nn.Mamba", () => {
  describeGolden("mamba_block", block);
  describeGolden("mamba_inner", inner);

  it("continues a sequence from a state, also on the way back", async () => {
    await scope.async(async () => {
      const layer = new nn.Mamba({ dModel: 16, dState: 4 });
      const x = Tensor.randn([2, 40, 16], { requiresGrad: true });
      const upstream = Tensor.randn([2, 40, 16]);
      const whole = layer.forward(x);
      whole.backward(upstream);
      const wanted = await read(x.grad);
      const wantedA = await read(layer.A_log.grad);
      x.grad = null;
      layer.zeroGrad();
      const first = layer.prefill(ops.slice(x, 1, 0, 2));
      const second = layer.prefill(ops.slice(x, 1, 2, 33), first.state);
      const third = layer.forward(ops.slice(x, 1, 33), second.state);
      const joined = ops.concat([first.y, second.y, third], 1);
      expectClose("out", await read(joined), await read(whole), { relL2: 1e-6 });
      joined.backward(upstream);
      expectClose("dx", await read(x.grad), wanted, { relL2: 2e-6 });
      expectClose("dA_log", await read(layer.A_log.grad), wantedA, { relL2: 5e-6 });
    });
  });

  it("leaves a state that it starts from as it is, and clones apart", async () => {
    const layer = new nn.Mamba({ dModel: 16 });
    const x = Tensor.randn([1, 5, 16]);
    const { state } = noGrad(() => layer.prefill(x));
    const before = await state.scan.data();
    noGrad(() => layer.forward(x, state));
    expect(await state.scan.data()).to.deep.equal(before);
    const copy = state.clone();
    expect(copy.bytes)
      .to.equal(state.bytes)
      .and.to.equal(4 * (32 * 3 + 32 * 16));
    layer.step(ops.reshape(ops.slice(x, 1, 0, 1), [1, 16]), copy);
    expect(await state.scan.data()).to.deep.equal(before);
    expect(await copy.scan.data()).not.to.deep.equal(before);
    copy.dispose();
    expect(copy.conv.isDisposed).to.equal(true);
  });

  it("runs inside checkpoint with the same gradients", async () => {
    const layer = new nn.Mamba({ dModel: 16 });
    const x = Tensor.randn([1, 7, 16], { requiresGrad: true });
    ops.sum(layer.forward(x)).backward();
    const [dx, dweight] = [await read(x.grad), await read(layer.in_proj.weight.grad)];
    x.grad = null;
    layer.zeroGrad();
    ops.sum(checkpoint((input) => layer.forward(input), x)).backward();
    expectClose("dx", await read(x.grad), dx, { relL2: 1e-6 });
    expectClose("dweight", await read(layer.in_proj.weight.grad), dweight, { relL2: 1e-6 });
  });

  it("computes in bfloat16 close to float32, with float32 gradients of float32 weights", async () => {
    const layer = new nn.Mamba({ dModel: 32 });
    const x = Tensor.randn([2, 20, 32]);
    const wide = await read(layer.forward(x));
    const narrow = layer.forward(ops.cast(x, "bfloat16"));
    expect(narrow.dtype).to.equal("bfloat16");
    expectClose("out", await read(narrow), wide, { relL2: 2e-2 });
    ops.sum(narrow).backward();
    for (const [name, t] of layer.namedParameters()) expect(t.grad?.dtype, name).to.equal("float32");
  });

  it("adds a step to the residual as a norm, a step and an addition do", async () => {
    await scope.async(async () => {
      for (const dtype of ["float32", "bfloat16"] as const) {
        const [layer, norm] = [new nn.Mamba({ dModel: 24, dState: 5, bias: true, dtype }), new nn.RMSNorm(24)];
        const residual = Tensor.randn([3, 24]);
        const fused = ops.add(residual, Tensor.zeros([3, 24]));
        const [own, others] = [layer.initialState(3), layer.initialState(3)];
        let plain = residual;
        const relL2 = dtype === "float32" ? 1e-6 : 5e-3;
        for (let i = 0; i < 3; i++) {
          layer.residualStep(fused, norm, own);
          plain = noGrad(() => ops.add(plain, ops.cast(layer.step(norm.forward(plain, { dtype }), others), "float32")));
          expectClose(`residual ${i}`, await read(fused), await read(plain), { relL2 });
          expectClose(`conv ${i}`, await read(own.conv), await read(others.conv), { relL2 });
          expectClose(`scan ${i}`, await read(own.scan), await read(others.scan), { relL2 });
        }
      }
    });
  });

  it("refuses residuals, states and weights of a step that do not fit", () => {
    const [layer, norm] = [new nn.Mamba({ dModel: 16 }), new nn.RMSNorm(16)];
    const [residual, state] = [Tensor.zeros([2, 16]), layer.initialState(2)];
    expect(() => layer.residualStep(Tensor.zeros([2, 17]), norm, state)).to.throw(
      "Mamba.residualStep: residual is [2, 17], expected [batch, 16]",
    );
    expect(() => layer.residualStep(residual, norm, layer.initialState(1))).to.throw(
      "Mamba.residualStep: state.conv is [1, 32, 3], expected [2, 32, 3]",
    );
    expect(() => layer.residualStep(Tensor.zeros([2, 16], { dtype: "bfloat16" }), norm, state)).to.throw(
      "mambaStepInput: residual is bfloat16, expected float32",
    );
    const parameters = {
      normWeight: norm.weight,
      inProjection: layer.in_proj.weight,
      convWeight: layer.conv1d.taps,
      xProjection: layer.x_proj.weight,
      dtProjection: layer.dt_proj.weight,
      dtBias: layer.dt_proj.bias,
      ALog: layer.A_log,
      D: layer.D,
      outProjection: layer.out_proj.weight,
    };
    const states = { convState: state.conv, scanState: state.scan };
    const step = (changed: Partial<typeof parameters>, own: Partial<typeof states> = {}) => {
      return () => ops.mambaStep(residual, { ...parameters, ...changed }, { ...states, ...own });
    };
    expect(step({ inProjection: Tensor.zeros([63, 16]) })).to.throw(
      "mambaStepInput: weight has 63 rows, expected 2 inner = 64",
    );
    expect(step({ convWeight: Tensor.zeros([32, 9]) })).to.throw(
      "mambaStepInput: convWeight has width 9, expected 1 to 8",
    );
    expect(step({}, { convState: Tensor.zeros([2, 32, 4]) })).to.throw(
      "mambaStepInput: convState holds 4 inputs, expected width - 1 = 3",
    );
    expect(step({ xProjection: Tensor.zeros([34, 32]) })).to.throw(
      "mambaStepScan: projected has 34 columns, expected rank + 2 states = 33",
    );
    expect(step({ outProjection: Tensor.zeros([16, 31]) })).to.throw(/mambaStepOutput: weight is \[16, 31\]/);
  });
});
