// The public operations on every device against the golden vectors of public PyTorch code, within the files' tolerances.
import { type Device, ops, scope, Tensor } from "statespace";
import { type Arr, array, map, read, reshaped, sizeOf } from "./reference/array.ts";
import { expectEachClose, expectEqual } from "./support/close.ts";
import { testDevices } from "./support/devices.ts";
import { describeGolden, type Golden, transposed } from "./support/golden.ts";
import { expectGradients, type Maybe, output, run, toArr } from "./support/golden_run.ts";

const swapLast = (x: Arr): Arr => transposed(x, [0, 2, 1]);
const maybe = (x: Maybe, f: (x: Arr) => Arr): Maybe => x && f(x);
const activation = (flags: Readonly<Record<string, unknown>>) =>
  flags.activation === "silu" ? ({ activation: "silu" } as const) : {};

// The files are (batch, dim, length) and (batch, [groups,] states, length).
function fromFile(x: Arr): Arr {
  return x.shape.length === 4 ? transposed(x, [0, 3, 1, 2]) : x.shape.length === 3 ? swapLast(x) : x;
}
function intoFile(x: Arr): Arr {
  return x.shape.length === 4 ? transposed(x, [0, 2, 3, 1]) : x.shape.length === 3 ? swapLast(x) : x;
}

/** Complex B and C are (batch, states, 2 length), with (re, im) side by side, or (dim, states, 2). */
function pairsFromFile(x: Arr, isVarying: boolean): Arr {
  if (!isVarying) return x;
  const [batch, states, numbers] = x.shape as [number, number, number];
  return transposed(reshaped(x, [batch, states, numbers / 2, 2]), [0, 2, 1, 3]);
}
function pairsIntoFile(x: Arr, isVarying: boolean): Arr {
  if (!isVarying) return x;
  const [batch, length, states] = x.shape as [number, number, number];
  return reshaped(transposed(x, [0, 2, 1, 3]), [batch, states, 2 * length]);
}

async function selectiveScan(device: Device, golden: Golden, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const isVarying = (flags.B_form as string).startsWith("(batch");
  const projected = (x: Arr): Arr => (flags.complex ? pairsFromFile(x, isVarying) : fromFile(x));
  const intoProjected = (x: Arr): Arr => (flags.complex ? pairsIntoFile(x, isVarying) : intoFile(x));
  const inputs = {
    u: fromFile(golden.get("u")),
    delta: fromFile(golden.get("delta")),
    A: golden.get("A"),
    B: projected(golden.get("B")),
    C: projected(golden.get("C")),
    D: golden.maybe("D"),
    z: maybe(golden.maybe("z"), fromFile),
    deltaBias: golden.maybe("delta_bias"),
    initialState: golden.maybe("h0"),
  };
  const deltaSoftplus = flags.delta_softplus === true;
  const result = await run(
    device,
    inputs,
    ({ u, delta, A, B, C, ...options }) =>
      ops.selectiveScan(u as Tensor, delta as Tensor, A as Tensor, B as Tensor, C as Tensor, {
        ...options,
        deltaSoftplus,
        returnLastState: true,
      }),
    { out: fromFile(golden.get("grad_out")), lastState: golden.maybe("grad_last_state") },
  );
  golden.expect("out", intoFile(output(result, "out")));
  golden.expect("last_state", output(result, "lastState"));
  const { u, delta, A, B, C, D, z, deltaBias, initialState } = result.gradients;
  const inFile = {
    u: maybe(u, intoFile),
    delta: maybe(delta, intoFile),
    A,
    B: maybe(B, intoProjected),
    C: maybe(C, intoProjected),
    D,
    z: maybe(z, intoFile),
  };
  expectGradients(golden, { ...inFile, delta_bias: deltaBias, h0: initialState });
}

async function selectiveStateUpdate(
  device: Device,
  golden: Golden,
  flags: Readonly<Record<string, unknown>>,
): Promise<void> {
  const steps = flags.steps as number;
  const state = golden.get("state");
  const [batch, states] = [read(state.shape, 0), read(state.shape, state.shape.length - 1)];
  const channels = sizeOf(state.shape) / batch / states;
  const rows = [batch, channels];
  const projection = [batch, (flags.groups as number | null) ?? 1, states];
  await scope.async(async () => {
    const tensor = (x: Maybe, shape: number[]): Tensor | undefined =>
      x && Tensor.from(Float32Array.from(reshaped(x, shape).data), shape, { device });
    const part = (name: string, i: number, shape: number[]): Tensor | undefined => {
      const x = golden.maybe(name);
      const size = x ? x.data.length / steps : 0;
      return x && tensor(array(x.data.slice(i * size, (i + 1) * size), shape), shape);
    };
    const current = tensor(state, [...rows, states]) as Tensor;
    const A = tensor(golden.get("A"), [channels, states]) as Tensor;
    const outs: number[] = [];
    for (let i = 0; i < steps; i++) {
      const [x, dt] = [part("x", i, rows) as Tensor, part("dt", i, rows) as Tensor];
      const [B, C] = [part("B", i, projection) as Tensor, part("C", i, projection) as Tensor];
      const out = ops.selectiveStateUpdate(current, x, dt, A, B, C, {
        D: tensor(golden.maybe("D"), [channels]),
        z: part("z", i, rows),
        dtBias: tensor(golden.maybe("dt_bias"), [channels]),
        dtSoftplus: flags.dt_softplus === true,
      });
      outs.push(...(await out.data()));
    }
    golden.expect("out", array(outs, golden.get("out").shape));
    golden.expect("state_out", reshaped(await toArr(current), state.shape));
  });
}

async function causalConv1d(device: Device, golden: Golden, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const result = await run(
    device,
    {
      x: swapLast(golden.get("x")),
      weight: golden.get("weight"),
      bias: golden.maybe("bias"),
      initialState: golden.maybe("initial_states"),
    },
    ({ x, weight, bias, initialState }) =>
      ops.causalConv1d(x as Tensor, weight as Tensor, bias, {
        ...activation(flags),
        initialState,
        returnFinalState: true,
      }),
    { out: swapLast(golden.get("grad_out")), finalState: golden.maybe("grad_final_states") },
  );
  golden.expect("out", swapLast(output(result, "out")));
  if (golden.has("final_states")) expectEqual("final_states", output(result, "finalState"), golden.get("final_states"));
  const { x, weight, bias, initialState } = result.gradients;
  expectGradients(golden, { x: maybe(x, swapLast), weight, bias, initial_states: initialState });
}

async function packedConv1d(device: Device, golden: Golden, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const [x, dout] = [swapLast(golden.get("x")), swapLast(golden.get("grad_out"))];
  const got: Record<"out" | "x" | "weight" | "bias", number[]> = { out: [], x: [], weight: [], bias: [] };
  for (const [i, row] of (flags.sequence_lengths as number[][]).entries()) {
    const size = x.data.length / read(x.shape, 0);
    const only = (y: Arr): Arr => array(y.data.slice(i * size, (i + 1) * size), [1, ...x.shape.slice(1)]);
    const bounds = [0];
    for (const length of row) bounds.push((bounds.at(-1) ?? 0) + length);
    const result = await run(
      device,
      {
        x: only(x),
        weight: golden.get("weight"),
        bias: golden.maybe("bias"),
        cuSeqlens: array(bounds, [bounds.length]),
      },
      (t) => ({
        out: ops.causalConv1d(t.x as Tensor, t.weight as Tensor, t.bias, {
          ...activation(flags),
          cuSeqlens: t.cuSeqlens,
        }),
      }),
      { out: only(dout) },
    );
    got.out.push(...output(result, "out").data);
    got.x.push(...(result.gradients.x?.data ?? []));
    for (const name of ["weight", "bias"] as const) {
      for (const [k, value] of (result.gradients[name]?.data ?? []).entries())
        got[name][k] = (got[name][k] ?? 0) + value;
    }
  }
  golden.expect("out", swapLast(array(got.out, x.shape)));
  const bias = golden.maybe("bias");
  expectGradients(golden, {
    x: swapLast(array(got.x, x.shape)),
    weight: array(got.weight, golden.get("weight").shape),
    bias: bias && array(got.bias, bias.shape),
  });
}

async function packedStates(device: Device, golden: Golden, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const x = golden.get("x");
  const shape = [read(x.shape, 1), (flags.state_len as number) + 1];
  const result = await run(
    device,
    {
      x: reshaped(x, [1, ...x.shape]),
      weight: array(new Float64Array(sizeOf(shape)), shape),
      cuSeqlens: golden.get("cu_seqlens"),
    },
    (t) =>
      ops.causalConv1d(t.x as Tensor, t.weight as Tensor, null, { cuSeqlens: t.cuSeqlens, returnFinalState: true }),
  );
  expectEqual("states", output(result, "finalState"), golden.get("states"));
}

async function causalConv1dUpdate(
  device: Device,
  golden: Golden,
  flags: Readonly<Record<string, unknown>>,
): Promise<void> {
  const steps = flags.steps as number;
  const x = golden.get("x");
  const turned = (y: Arr): Arr => (flags.length === null ? y : swapLast(y));
  await scope.async(async () => {
    const tensor = (y: Maybe): Tensor | undefined => y && Tensor.from(Float32Array.from(y.data), y.shape, { device });
    const convState = tensor(golden.get("conv_state")) as Tensor;
    const weight = tensor(golden.get("weight")) as Tensor;
    const seqlens = golden.maybe("cache_seqlens");
    const cacheSeqlens = seqlens && Tensor.from(Int32Array.from(seqlens.data), seqlens.shape, { device });
    const outs: number[] = [];
    for (let i = 0; i < steps; i++) {
      const size = x.data.length / steps;
      const step = turned(array(x.data.slice(i * size, (i + 1) * size), steps > 1 ? x.shape.slice(1) : x.shape));
      const out = ops.causalConv1dUpdate(tensor(step) as Tensor, convState, weight, tensor(golden.maybe("bias")), {
        ...activation(flags),
        cacheSeqlens,
      });
      outs.push(...turned(await toArr(out)).data);
    }
    golden.expect("out", array(outs, golden.get("out").shape));
    expectEqual("conv_state_out", await toArr(convState), golden.get("conv_state_out"));
  });
}

async function norm(
  device: Device,
  op: "rms_norm" | "layer_norm",
  golden: Golden,
  flags: Readonly<Record<string, unknown>>,
): Promise<void> {
  const eps = flags.eps as number;
  const result = await run(
    device,
    {
      x: golden.get("x"),
      weight: golden.get("weight"),
      bias: golden.maybe("bias"),
      residual: golden.maybe("residual"),
    },
    ({ x, weight, bias, residual }) => {
      const options = { eps, residual };
      const y =
        op === "rms_norm"
          ? ops.rmsNorm(x as Tensor, weight as Tensor, options)
          : ops.layerNorm(x as Tensor, weight as Tensor, bias, options);
      return y instanceof Tensor ? { y } : y;
    },
    { y: golden.get("grad_out"), sum: golden.maybe("grad_residual_out") },
  );
  golden.expect("out", output(result, "y"));
  if (golden.has("residual_out")) golden.expect("residual_out", output(result, "sum"));
  expectGradients(golden, result.gradients);
}

async function crossEntropy(device: Device, golden: Golden, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const reduction = flags.reduction === "mean" ? "mean" : "none";
  const result = await run(
    device,
    { logits: golden.get("logits"), targets: golden.get("targets") },
    ({ logits, targets }) => ({
      loss: ops.crossEntropy(logits as Tensor, targets as Tensor, {
        ignoreIndex: flags.ignore_index as number,
        reduction,
      }),
    }),
    { loss: golden.get("grad_loss") },
  );
  golden.expect("loss", reshaped(output(result, "loss"), golden.get("loss").shape));
  expectGradients(golden, result.gradients);
}

async function activations(device: Device, golden: Golden): Promise<void> {
  const x = golden.get("x");
  for (const kind of ["silu", "softplus", "sigmoid", "gelu", "tanh"] as const) {
    const result = await run(device, { x }, (t) => ({ y: ops[kind](t.x as Tensor) }), { y: map(x, () => 1) });
    expectEachClose(kind, output(result, "y"), golden.get(kind), 1e-5, 1e-6);
    expectEachClose(`d.${kind}`, result.gradients.x as Arr, golden.get(`d.${kind}`), 1e-5, 1e-6);
  }
  const result = await run(device, { x }, (t) => ({ y: ops.exp(ops.neg(ops.abs(t.x as Tensor))) }), {
    y: map(x, () => 1),
  });
  expectEachClose("exp_minus_abs", output(result, "y"), golden.get("exp_minus_abs"), 1e-5, 1e-6);
  expectEachClose("d.exp_minus_abs", result.gradients.x as Arr, golden.get("d.exp_minus_abs"), 1e-5, 1e-6);
  const glu = golden.get("x_glu");
  const half = read(glu.shape, 0);
  const gated = await run(
    device,
    { x: glu },
    (t) => {
      const [a, b] = [0, 1].map((i) => ops.slice(t.x as Tensor, 0, (i * half) / 2, ((i + 1) * half) / 2)) as [
        Tensor,
        Tensor,
      ];
      return { y: ops.mul(a, ops.sigmoid(b)) };
    },
    { y: map(golden.get("glu"), () => 1) },
  );
  expectEachClose("glu", reshaped(output(gated, "y"), golden.get("glu").shape), golden.get("glu"), 1e-5, 1e-6);
  expectEachClose("d.glu", gated.gradients.x as Arr, golden.get("d.glu"), 1e-5, 1e-6);
}

for (const device of testDevices()) {
  describe(`golden vectors on ${device.kind} (${device.name})`, () => {
    describeGolden("selective_scan", (golden, flags) => selectiveScan(device, golden, flags));
    describeGolden("selective_state_update", (golden, flags) => selectiveStateUpdate(device, golden, flags));
    describeGolden("causal_conv1d", (golden, flags) => causalConv1d(device, golden, flags));
    describeGolden("causal_conv1d_seq_idx", (golden, flags) => packedConv1d(device, golden, flags));
    describeGolden("causal_conv1d_varlen_states", (golden, flags) => packedStates(device, golden, flags));
    describeGolden("causal_conv1d_update", (golden, flags) => causalConv1dUpdate(device, golden, flags));
    describeGolden("rms_norm", (golden, flags) => norm(device, "rms_norm", golden, flags));
    describeGolden("layer_norm", (golden, flags) => norm(device, "layer_norm", golden, flags));
    describeGolden("cross_entropy", (golden, flags) => crossEntropy(device, golden, flags));
    describeGolden("activations", (golden) => activations(device, golden));
  });
}
