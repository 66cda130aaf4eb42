// One update of the weights, enqueued: operation by operation, or as the replay of a recording.
import { StateSpaceError } from "../native/errors.ts";
import { scale } from "../ops/binary.ts";
import type { AdamW } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";
import { kernels } from "../tensor/kernels.ts";
import { type Recording, record } from "../tensor/recording.ts";
import { currentScope, scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Batch } from "./data.ts";

/** What is read of an update when the device is done with it. */
export interface UpdateReading {
  /** Mean over the batches. */
  loss: Promise<number>;
  /** Of the gradient, before it was clipped. */
  norm: Promise<number>;
}

/** Numbers of the host and the shape of the tensor that they become. */
export interface Values {
  readonly values: Int32Array | Float32Array;
  readonly shape: readonly number[];
}

/** What one loss is computed from. */
export interface Example {
  readonly inputs: Values;
  readonly targets: Values;
}

/** Tokens and those that follow them. */
export function exampleOf({ ids, targets, rows, length }: Batch): Example {
  const shape = [rows, length];
  return { inputs: { values: ids, shape }, targets: { values: targets, shape } };
}

interface Places {
  inputs: Tensor;
  targets: Tensor;
}

/** The recordings for batches of one form, and the tensors that these read. */
interface Recorded {
  form: string;
  count: number;
  places: Places;
  /** Forward and backward of a batch; where there is only one, also what comes after. */
  batch: Recording<{ loss: Tensor; norm?: Tensor }>;
  /** Clipping, step and clearing, after several batches. */
  rest: Recording<{ norm: Tensor }> | undefined;
}

const kept = (t: Tensor): Tensor => {
  currentScope()?.forget(t);
  return t;
};

/** @internal makes updates; the second and later ones are replays, where model and optimiser allow it */
export class Update implements Disposable {
  readonly #loss: (inputs: Tensor, targets: Tensor) => Tensor;
  readonly #optimizer: AdamW;
  readonly #clipNorm: number;
  #records: boolean;
  #isWarm = false;
  #recorded: Recorded | undefined;

  constructor(
    loss: (inputs: Tensor, targets: Tensor) => Tensor,
    optimizer: AdamW,
    options: { clipNorm: number | null; record: boolean },
  ) {
    this.#loss = loss;
    this.#optimizer = optimizer;
    this.#clipNorm = options.clipNorm ?? Number.POSITIVE_INFINITY;
    this.#records = options.record && optimizer.isRecordable;
  }

  /** Whether the last update was a replay. */
  get isRecorded(): boolean {
    return this.#recorded !== undefined;
  }

  enqueue(batches: readonly Example[], learningRate: number): UpdateReading {
    this.#optimizer.lr = learningRate;
    const recorded = this.#recordingOf(batches);
    this.#isWarm = true;
    this.#optimizer._beginStep();
    const { losses, norm } = scope(() => (recorded ? this.#replay(recorded, batches) : this.#plain(batches)));
    const loss = Promise.all(losses).then((all) => all.reduce((a, b) => a + b, 0) / all.length);
    for (const promise of [loss, norm]) promise.catch(() => {});
    return { loss, norm };
  }

  [Symbol.dispose](): void {
    const { places, batch, rest } = this.#recorded ?? {};
    this.#recorded = undefined;
    for (const t of [places?.inputs, places?.targets, batch?.result.loss, batch?.result.norm, rest?.result.norm]) {
      t?.dispose();
    }
    batch?.dispose();
    rest?.dispose();
  }

  #plain(batches: readonly Example[]): { losses: Promise<number>[]; norm: Promise<number> } {
    const device = this.#optimizer.device;
    const uploaded = ({ values, shape }: Values): Tensor => Tensor.from(values, shape, { device });
    const losses = batches.map(({ inputs, targets }) =>
      scope(() => {
        const places = { inputs: uploaded(inputs), targets: uploaded(targets) };
        return { loss: this.#gradients(places, batches.length).item() };
      }),
    );
    return { losses: losses.map(({ loss }) => loss), norm: this.#apply().item() };
  }

  #replay(recorded: Recorded, batches: readonly Example[]): { losses: Promise<number>[]; norm: Promise<number> } {
    const { places, batch, rest } = recorded;
    // Someone may have put other gradients into the parameters meanwhile.
    void this.#optimizer.buckets;
    const losses = batches.map(({ inputs, targets }) => {
      assign(places.inputs, inputs);
      assign(places.targets, targets);
      batch.replay();
      return batch.result.loss.item();
    });
    rest?.replay();
    return { losses, norm: ((rest?.result.norm ?? batch.result.norm) as Tensor).item() };
  }

  /** Forward and backward of one of `count` batches; the loss. */
  #gradients({ inputs, targets }: Places, count: number): Tensor {
    const loss = this.#loss(inputs, targets);
    (count === 1 ? loss : scale(loss, 1 / count)).backward();
    return loss;
  }

  /** The step from the gradients, which are cleared; their norm. */
  #apply(): Tensor {
    const norm = clipGradNorm(this.#optimizer, this.#clipNorm);
    this.#optimizer._endStep();
    this.#optimizer.zeroGrad();
    return norm;
  }

  /** The recording for these batches, made now if it is worth it. */
  #recordingOf(batches: readonly Example[]): Recorded | undefined {
    const [first] = batches;
    const form = first && formOf(first);
    const isEven = batches.every((batch) => formOf(batch) === form);
    const made = this.#recorded;
    if (isEven && made?.form === form && made?.count === batches.length) return made;
    // The first update is plain: what is prepared once, such as plans of a library, is no part of a recording.
    if (!this.#records || !this.#isWarm || !isEven || !first) return undefined;
    this[Symbol.dispose]();
    try {
      this.#recorded = this.#record(first, batches.length);
    } catch (error) {
      // A loss that reads, uploads or draws random numbers on the way is made anew each time.
      if (!(error instanceof StateSpaceError && error.code === "ERR_RECORDING")) throw error;
      this.#records = false;
    }
    return this.#recorded;
  }

  #record(example: Example, count: number): Recorded {
    const device = this.#optimizer.device;
    const empty = ({ values, shape }: Values): Tensor =>
      kept(Tensor.zeros(shape, { dtype: values instanceof Int32Array ? "int32" : "float32", device }));
    const places = { inputs: empty(example.inputs), targets: empty(example.targets) };
    let batch: Recorded["batch"] | undefined;
    try {
      void this.#optimizer.buckets;
      batch = record(
        () =>
          scope(() => {
            const loss = kept(this.#gradients(places, count));
            return count === 1 ? { loss, norm: kept(this.#apply()) } : { loss };
          }),
        device,
      );
      const rest = count === 1 ? undefined : record(() => scope(() => ({ norm: kept(this.#apply()) })), device);
      return { form: formOf(example), count, places, batch, rest };
    } catch (error) {
      batch?.dispose();
      for (const t of Object.values(places)) t.dispose();
      throw error;
    }
  }
}

/** Shapes and types: equal for examples that one recording can take. */
function formOf({ inputs, targets }: Example): string {
  return [inputs, targets].map(({ values, shape }) => `${values.constructor.name} ${shape.join()}`).join(" ");
}

/** Puts values into a tensor that recordings read. */
function assign(target: Tensor, { values }: Values): void {
  scope(() => {
    const x = Tensor.from(values, target.shape, { device: target.device });
    kernels.copy({ x, dtype: target.dtype }, { y: target });
  });
}
