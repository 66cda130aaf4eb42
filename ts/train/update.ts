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
import type { TrainableModel } from "./options.ts";

/** What is read of an update when the device is done with it. */
export interface UpdateReading {
  /** Mean over the batches. */
  loss: Promise<number>;
  /** Of the gradient, before it was clipped. */
  norm: Promise<number>;
}

interface Inputs {
  ids: Tensor;
  targets: Tensor;
}

/** The recordings for batches of one shape, and the tensors that these read. */
interface Recorded {
  rows: number;
  length: number;
  count: number;
  inputs: Inputs;
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
  readonly #model: TrainableModel;
  readonly #optimizer: AdamW;
  readonly #clipNorm: number;
  #records: boolean;
  #isWarm = false;
  #recorded: Recorded | undefined;

  constructor(model: TrainableModel, optimizer: AdamW, options: { clipNorm: number | null; record: boolean }) {
    this.#model = model;
    this.#optimizer = optimizer;
    this.#clipNorm = options.clipNorm ?? Number.POSITIVE_INFINITY;
    this.#records = options.record && optimizer.isRecordable;
  }

  /** Whether the last update was a replay. */
  get isRecorded(): boolean {
    return this.#recorded !== undefined;
  }

  enqueue(batches: readonly Batch[], learningRate: number): UpdateReading {
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
    const { inputs, batch, rest } = this.#recorded ?? {};
    this.#recorded = undefined;
    for (const t of [inputs?.ids, inputs?.targets, batch?.result.loss, batch?.result.norm, rest?.result.norm]) {
      t?.dispose();
    }
    batch?.dispose();
    rest?.dispose();
  }

  #plain(batches: readonly Batch[]): { losses: Promise<number>[]; norm: Promise<number> } {
    const device = this.#optimizer.device;
    const losses = batches.map(({ ids, targets, rows, length }) =>
      scope(() => {
        const [x, y] = [ids, targets].map((values) => Tensor.from(values, [rows, length], { device }));
        return { loss: this.#gradients({ ids: x as Tensor, targets: y as Tensor }, batches.length).item() };
      }),
    );
    return { losses: losses.map(({ loss }) => loss), norm: this.#apply().item() };
  }

  #replay(recorded: Recorded, batches: readonly Batch[]): { losses: Promise<number>[]; norm: Promise<number> } {
    const { inputs, batch, rest } = recorded;
    // Someone may have put other gradients into the parameters meanwhile.
    void this.#optimizer.buckets;
    const losses = batches.map(({ ids, targets }) => {
      assign(inputs.ids, ids);
      assign(inputs.targets, targets);
      batch.replay();
      return batch.result.loss.item();
    });
    rest?.replay();
    return { losses, norm: ((rest?.result.norm ?? batch.result.norm) as Tensor).item() };
  }

  /** Forward and backward of one of `count` batches; the loss. */
  #gradients({ ids, targets }: Inputs, count: number): Tensor {
    const loss = this.#model.loss(ids, targets);
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
  #recordingOf(batches: readonly Batch[]): Recorded | undefined {
    const [{ rows, length } = { rows: 0, length: 0 }] = batches;
    const isEven = batches.every((batch) => batch.rows === rows && batch.length === length);
    const made = this.#recorded;
    const fits = made && made.rows === rows && made.length === length && made.count === batches.length;
    if (fits && isEven) return made;
    // The first update is plain: what is prepared once, such as plans of a library, is no part of a recording.
    if (!this.#records || !this.#isWarm || !isEven) return undefined;
    this[Symbol.dispose]();
    try {
      this.#recorded = this.#record(rows, length, batches.length);
    } catch (error) {
      // A loss that reads, uploads or draws random numbers on the way is made anew each time.
      if (!(error instanceof StateSpaceError && error.code === "ERR_RECORDING")) throw error;
      this.#records = false;
    }
    return this.#recorded;
  }

  #record(rows: number, length: number, count: number): Recorded {
    const device = this.#optimizer.device;
    const empty = (): Tensor => kept(Tensor.zeros([rows, length], { dtype: "int32", device }));
    const inputs = { ids: empty(), targets: empty() };
    let batch: Recorded["batch"] | undefined;
    try {
      void this.#optimizer.buckets;
      batch = record(
        () =>
          scope(() => {
            const loss = kept(this.#gradients(inputs, count));
            return count === 1 ? { loss, norm: kept(this.#apply()) } : { loss };
          }),
        device,
      );
      const rest = count === 1 ? undefined : record(() => scope(() => ({ norm: kept(this.#apply()) })), device);
      return { rows, length, count, inputs, batch, rest };
    } catch (error) {
      batch?.dispose();
      for (const t of Object.values(inputs)) t.dispose();
      throw error;
    }
  }
}

/** Puts values into a tensor that recordings read. */
function assign(target: Tensor, values: Int32Array): void {
  scope(() => {
    const x = Tensor.from(values, target.shape, { device: target.device });
    kernels.copy({ x, dtype: target.dtype }, { y: target });
  });
}
