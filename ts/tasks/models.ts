// The models that tasks compare: the same sequence model around different mixers.

import { SequenceModel } from "../models/sequence/index.ts";
import { integer, oneOf } from "../native/check.ts";
import type { MixerSpec } from "../nn/create_mixer.ts";
import type { Device, DeviceSpec } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Task } from "./task.ts";

/** What mixes along the length: S4 and S4D are time-invariant, Mamba selects. */
export const mixerNames = ["s4d", "s4", "mamba"] as const;
export type TaskMixer = (typeof mixerNames)[number];

/** Sizes of a model. */
export interface TaskModelOptions {
  /** Blocks, 2 by default. */
  layers?: number | undefined;
  /** Size of the residual stream, 64 by default. */
  dModel?: number | undefined;
  /** States per channel: by default 16 for Mamba, 64 for S4 and S4D. */
  dState?: number | undefined;
  /** Range of the first time steps of S4 and S4D: 0.001 to 0.1 by default. */
  dt?: readonly [number, number] | undefined;
  /** Standard deviation of the first embedding, 1 by default. */
  embeddingStd?: number | undefined;
  /** S4 and S4D without norm, activation and gate: a linear system. False by default. */
  linear?: boolean | undefined;
  device?: Device | DeviceSpec | undefined;
}

function mixerOf(name: TaskMixer, options: TaskModelOptions): MixerSpec {
  const { layers = 2, dt = [1e-3, 1e-1], linear = false } = options;
  if (name === "mamba") return { type: "mamba", dState: options.dState ?? 16, residualLayers: layers };
  const [dtMin, dtMax] = dt;
  const common = { dState: options.dState ?? 64, dtMin, dtMax };
  return { type: name, ...common, ...(linear && { activation: "none", output: "none" }) } as MixerSpec;
}

/**
 * A model for a task, with first values from the stream that `manualSeed` starts. Around Mamba there are RMS norms, and
 * the logits of tokens begin near zero; around S4 and S4D there are layer norms.
 *
 * @throws ArgumentError
 * @example
 * const model = tasks.createTaskModel(tasks.selectiveCopying(), "mamba");
 */
export function createTaskModel(task: Task, mixer: TaskMixer, options: TaskModelOptions = {}): SequenceModel {
  oneOf("createTaskModel", "mixer", mixer, mixerNames);
  const { layers = 2, dModel = 64, linear = false, embeddingStd = 1, device } = options;
  const { inputs, outputs } = task;
  const isMamba = mixer === "mamba";
  const model = new SequenceModel(
    {
      ...(inputs.kind === "tokens" ? { vocabSize: inputs.vocab, embeddingStd } : { dInput: inputs.channels }),
      dOutput: outputs.kind === "classes" ? outputs.classes : outputs.channels,
      dModel: integer("createTaskModel", "dModel", dModel, 1, 2 ** 16),
      nLayer: integer("createTaskModel", "layers", layers, 1, 1024),
      mixer: mixerOf(mixer, options),
      norm: isMamba ? "rms" : linear ? "none" : "layer",
    },
    { device },
  );
  if (isMamba && inputs.kind === "tokens") {
    // With PyTorch's larger first logits fewer seeds learn selective copying within 2,500 steps.
    scope(() => {
      const { weight, bias } = model.decoder;
      const small = Tensor.randn(weight.shape, { std: 0.02, device: weight.device });
      const none = Tensor.zeros(bias?.shape ?? [], { device: weight.device });
      model.loadStateDict({ "decoder.weight": small, "decoder.bias": none }, { strict: false });
    });
  }
  return model;
}
