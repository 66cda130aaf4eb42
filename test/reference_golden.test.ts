// The references against the golden vectors of public PyTorch code, to the rounding of the files.
import { expect } from "chai";
import * as adamw from "./reference/adamw.ts";
import { type Arr, array, grid, map, read, reshaped, sizeOf, zerosLike } from "./reference/array.ts";
import * as conv from "./reference/causal_conv1d.ts";
import * as convUpdate from "./reference/causal_conv1d_update.ts";
import * as crossEntropy from "./reference/cross_entropy.ts";
import * as layerNorm from "./reference/layer_norm.ts";
import * as rmsNorm from "./reference/rms_norm.ts";
import * as scan from "./reference/selective_scan.ts";
import * as complexScan from "./reference/selective_scan_complex.ts";
import * as stateUpdate from "./reference/selective_state_update.ts";
import * as unary from "./reference/unary.ts";
import { expectEachClose, expectEqual } from "./support/close.ts";
import { describeGolden, type Golden, transposed } from "./support/golden.ts";

// Results were rounded once to float32, by at most 6e-8.
const rounding = 1.5e-7;

/** Compares gradients by the names of the file, where it has them. */
function expectGradients(golden: Golden, gradients: Record<string, Arr>): void {
  for (const [name, got] of Object.entries(gradients)) {
    if (golden.has(`grad.${name}`)) golden.expect(`grad.${name}`, got, undefined, rounding);
  }
}

const swapLast = (x: Arr) => transposed(x, [0, 2, 1]);

describeGolden("selective_scan", (golden, flags) => {
  if (flags.complex) return expectComplexScan(golden, flags);
  // The files are (batch, dim, length) and (batch, [groups,] states, length).
  const toPublic = (x: Arr) =>
    x.shape.length === 4 ? transposed(x, [0, 3, 1, 2]) : x.shape.length === 3 ? swapLast(x) : x;
  const toFile = (x: Arr) =>
    x.shape.length === 4 ? transposed(x, [0, 2, 3, 1]) : x.shape.length === 3 ? swapLast(x) : x;
  const z = golden.maybe("z");
  const inputs = {
    u: toPublic(golden.get("u")),
    delta: toPublic(golden.get("delta")),
    A: golden.get("A"),
    B: toPublic(golden.get("B")),
    C: toPublic(golden.get("C")),
    D: golden.maybe("D"),
    z: z && toPublic(z),
    deltaBias: golden.maybe("delta_bias"),
    initialState: golden.maybe("h0"),
  };
  const options = { deltaSoftplus: flags.delta_softplus === true };
  const { out, lastState } = scan.forward(inputs, options);
  golden.expect("out", toFile(out), undefined, rounding);
  golden.expect("last_state", lastState, undefined, rounding);
  const gradients = scan.backward(inputs, options, {
    out: toPublic(golden.get("grad_out")),
    lastState: golden.maybe("grad_last_state"),
  });
  const { u, delta, A, B, C, D, deltaBias, initialState } = gradients;
  const inFile = { u: toFile(u), delta: toFile(delta), A, B: toFile(B), C: toFile(C), D, z: toFile(gradients.z) };
  expectGradients(golden, { ...inFile, delta_bias: deltaBias, h0: initialState });
});

function expectComplexScan(golden: Golden, flags: Readonly<Record<string, unknown>>): void {
  const isVarying = (flags.B_form as string).startsWith("(batch");
  // Varying B and C are (batch, states, 2 length) with (re, im) interleaved.
  const toPublic = (x: Arr) => {
    if (!isVarying) return x;
    const [batch, states, pairs] = [read(x.shape, 0), read(x.shape, 1), read(x.shape, 2) / 2];
    return transposed(reshaped(x, [batch, states, pairs, 2]), [0, 2, 1, 3]);
  };
  const toFile = (x: Arr, like: Arr) => (isVarying ? reshaped(transposed(x, [0, 2, 1, 3]), like.shape) : x);
  const z = golden.maybe("z");
  const inputs = {
    u: swapLast(golden.get("u")),
    delta: swapLast(golden.get("delta")),
    A: golden.get("A"),
    B: toPublic(golden.get("B")),
    C: toPublic(golden.get("C")),
    D: golden.maybe("D"),
    z: z && swapLast(z),
    deltaBias: golden.maybe("delta_bias"),
    initialState: golden.maybe("h0"),
  };
  const options = { deltaSoftplus: flags.delta_softplus === true };
  const { out, lastState } = complexScan.forward(inputs, options);
  golden.expect("out", swapLast(out), undefined, rounding);
  golden.expect("last_state", lastState, undefined, rounding);
  const { u, delta, A, B, C, D, deltaBias, initialState, ...rest } = complexScan.backward(inputs, options, {
    out: swapLast(golden.get("grad_out")),
    lastState: golden.maybe("grad_last_state"),
  });
  const projections = { B: toFile(B, golden.get("B")), C: toFile(C, golden.get("C")) };
  expectGradients(golden, { u: swapLast(u), delta: swapLast(delta), A, ...projections, D, z: swapLast(rest.z) });
  expectGradients(golden, { delta_bias: deltaBias, h0: initialState });
}

describeGolden("selective_state_update", (golden, flags) => {
  const steps = flags.steps as number;
  const state = golden.get("state");
  const [batch, states] = [read(state.shape, 0), read(state.shape, state.shape.length - 1)];
  const channels = sizeOf(state.shape) / batch / states;
  const flat = (name: string, shape: number[]) => {
    const x = golden.maybe(name);
    return x && reshaped(x, shape);
  };
  /** The part of step `i` of a tensor with a leading step axis. */
  const part = (x: Arr, i: number, shape: number[]) => {
    const size = x.data.length / steps;
    return array(x.data.slice(i * size, (i + 1) * size), shape);
  };
  const rows = [batch, channels];
  const projection = [batch, (flags.groups as number | null) ?? 1, states];
  const z = golden.maybe("z");
  let current: Arr = reshaped(state, [...rows, states]);
  const outs: number[] = [];
  for (let i = 0; i < steps; i++) {
    const result = stateUpdate.forward(
      {
        state: current,
        x: part(golden.get("x"), i, rows),
        dt: part(golden.get("dt"), i, rows),
        A: reshaped(golden.get("A"), [channels, states]),
        B: part(golden.get("B"), i, projection),
        C: part(golden.get("C"), i, projection),
        D: flat("D", [channels]),
        z: z && part(z, i, rows),
        dtBias: flat("dt_bias", [channels]),
      },
      { dtSoftplus: flags.dt_softplus === true },
    );
    current = result.state;
    outs.push(...result.out.data);
  }
  golden.expect("out", array(outs, golden.get("out").shape), undefined, rounding);
  golden.expect("state_out", reshaped(current, state.shape), undefined, rounding);
});

const activation = (flags: Readonly<Record<string, unknown>>) =>
  flags.activation === "silu" ? ({ activation: "silu" } as const) : {};

describeGolden("causal_conv1d", (golden, flags) => {
  const inputs = {
    x: swapLast(golden.get("x")),
    weight: golden.get("weight"),
    bias: golden.maybe("bias"),
    initialState: golden.maybe("initial_states"),
  };
  const { out, finalState } = conv.forward(inputs, activation(flags));
  golden.expect("out", swapLast(out), undefined, rounding);
  if (golden.has("final_states")) expectEqual("final_states", finalState, golden.get("final_states"));
  const upstream = { out: swapLast(golden.get("grad_out")), finalState: golden.maybe("grad_final_states") };
  const { x, weight, bias, initialState } = conv.backward(inputs, activation(flags), upstream);
  expectGradients(golden, { x: swapLast(x), weight, bias, initial_states: initialState });
});

describeGolden("causal_conv1d_seq_idx", (golden, flags) => {
  const [x, dout] = [swapLast(golden.get("x")), swapLast(golden.get("grad_out"))];
  const [weight, bias] = [golden.get("weight"), golden.maybe("bias")];
  const got = { out: zerosLike(x), x: zerosLike(x), weight: zerosLike(weight), bias: grid(array([], [0])) };
  got.bias = bias ? zerosLike(bias) : got.bias;
  (flags.sequence_lengths as number[][]).forEach((row, i) => {
    const size = x.data.length / read(x.shape, 0);
    const only = (y: Arr) => array(y.data.slice(i * size, (i + 1) * size), [1, ...x.shape.slice(1)]);
    const bounds = [0];
    for (const length of row) bounds.push((bounds.at(-1) ?? 0) + length);
    const inputs = { x: only(x), weight, bias, cuSeqlens: array(bounds, [bounds.length]) };
    got.out.data.set(conv.forward(inputs, activation(flags)).out.data, i * size);
    const gradients = conv.backward(inputs, activation(flags), { out: only(dout) });
    got.x.data.set(gradients.x.data, i * size);
    gradients.weight.data.forEach((value, k) => {
      got.weight.data[k] = read(got.weight.data, k) + value;
    });
    if (bias) got.bias = grid(map(got.bias, (value, k) => value + read(gradients.bias.data, k)));
  });
  golden.expect("out", swapLast(got.out), undefined, rounding);
  expectGradients(golden, { x: swapLast(got.x), weight: got.weight, bias: got.bias });
});

describeGolden("causal_conv1d_varlen_states", (golden, flags) => {
  const x = golden.get("x");
  const weight = array(new Float64Array(read(x.shape, 1) * ((flags.state_len as number) + 1)), [
    read(x.shape, 1),
    (flags.state_len as number) + 1,
  ]);
  const inputs = { x: reshaped(x, [1, ...x.shape]), weight, cuSeqlens: golden.get("cu_seqlens") };
  expectEqual("states", conv.forward(inputs).finalState, golden.get("states"));
});

describeGolden("causal_conv1d_update", (golden, flags) => {
  const steps = flags.steps as number;
  const x = golden.get("x");
  const toPublic = (y: Arr) => (flags.length === null ? y : swapLast(y));
  const outs: number[] = [];
  let convState = golden.get("conv_state");
  for (let i = 0; i < steps; i++) {
    const size = x.data.length / steps;
    const shape = steps > 1 ? x.shape.slice(1) : x.shape;
    const result = convUpdate.forward(
      {
        x: toPublic(array(x.data.slice(i * size, (i + 1) * size), shape)),
        convState,
        weight: golden.get("weight"),
        bias: golden.maybe("bias"),
        cacheSeqlens: golden.maybe("cache_seqlens"),
      },
      activation(flags),
    );
    convState = result.convState;
    outs.push(...toPublic(result.out).data);
  }
  golden.expect("out", array(outs, golden.get("out").shape), undefined, rounding);
  expectEqual("conv_state_out", convState, golden.get("conv_state_out"));
});

for (const [op, norm] of [
  ["rms_norm", rmsNorm],
  ["layer_norm", layerNorm],
] as const) {
  describeGolden(op, (golden, flags) => {
    const inputs = {
      x: golden.get("x"),
      weight: golden.get("weight"),
      bias: golden.maybe("bias"),
      residual: golden.maybe("residual"),
    };
    const options = { eps: flags.eps as number };
    const { y, sum } = norm.forward(inputs, options);
    golden.expect("out", y, undefined, rounding);
    if (golden.has("residual_out")) golden.expect("residual_out", sum, undefined, rounding);
    const upstream = { y: golden.get("grad_out"), sum: golden.maybe("grad_residual_out") };
    expectGradients(golden, norm.backward(inputs, options, upstream));
  });
}

describeGolden("cross_entropy", (golden, flags) => {
  const inputs = { logits: golden.get("logits"), targets: golden.get("targets") };
  const options = { ignoreIndex: flags.ignore_index as number };
  const { loss, losses } = crossEntropy.forward(inputs, options);
  const upstream = golden.get("grad_loss");
  const isMean = flags.reduction === "mean";
  golden.expect("loss", isMean ? reshaped(loss, [1]) : losses, undefined, rounding);
  expectGradients(golden, crossEntropy.backward(inputs, options, isMean ? { loss: upstream } : { losses: upstream }));
});

describeGolden("adamw", (golden, flags) => {
  const { lr, betas, eps, weight_decay, clip_norm, steps } = flags as {
    lr: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    clip_norm: number | null;
    steps: number;
  };
  const count = [0, 1, 2, 3].filter((i) => golden.has(`param${i}`)).length;
  const buckets = Array.from({ length: count }, (_, i) => {
    const parameter = golden.get(`param${i}`);
    return { first: parameter, parameter, m: zerosLike(parameter) as Arr, v: zerosLike(parameter) as Arr };
  });
  const history = buckets.map((): number[] => []);
  const norms: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const gradients = buckets.map(({ parameter }, i) => {
      const size = parameter.data.length;
      return array(golden.get(`grads${i}`).data.slice((step - 1) * size, step * size), parameter.shape);
    });
    const { norm, scale } = adamw.clip(gradients, clip_norm ?? Number.POSITIVE_INFINITY);
    norms.push(norm);
    buckets.forEach((bucket, i) => {
      const hyperparameters = adamw.hyperparameters(step, { lr, betas, eps, weightDecay: weight_decay });
      const gradient = gradients[i] ?? bucket.m;
      const gradientScale = array([scale], []);
      Object.assign(bucket, adamw.forward({ ...bucket, gradient, hyperparameters, gradientScale }));
      history[i]?.push(...bucket.parameter.data);
    });
  }
  if (golden.has("total_norms")) golden.expect("total_norms", array(norms, [steps]), undefined, rounding);
  buckets.forEach(({ first, parameter, m, v }, i) => {
    golden.expect(`params${i}`, array(history[i] ?? [], [steps, ...first.shape]), undefined, rounding);
    golden.expect(`exp_avg${i}`, m, undefined, rounding);
    golden.expect(`exp_avg_sq${i}`, v, undefined, rounding);
    golden.expect(
      `delta${i}`,
      map(parameter, (value, k) => value - read(first.data, k)),
      undefined,
      rounding,
    );
  });
});

describeGolden("activations", (golden) => {
  const x = golden.get("x");
  const ones = map(x, () => 1);
  const kinds = (["silu", "softplus", "sigmoid", "gelu", "tanh"] as const).filter((kind) => golden.has(kind));
  expect(kinds).to.have.length(5);
  for (const kind of kinds) {
    expectEachClose(kind, unary.forward({ x }, { kind }).y, golden.get(kind), 1e-6, 1e-9);
    expectEachClose(`d.${kind}`, unary.backward({ x }, { kind }, { y: ones }).x, golden.get(`d.${kind}`), 1e-6, 1e-9);
  }
});
