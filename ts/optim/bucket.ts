// Parameters of equal settings side by side in one flat tensor, so that an update, a norm or an all-reduce is one call.
import { kernels } from "../tensor/kernels.ts";
import { currentScope } from "../tensor/scope.ts";
import { denseStrides, Tensor, viewOf } from "../tensor/tensor.ts";

/** What all parameters of a bucket share. */
export interface BucketSettings {
  weightDecay: number;
  /** Factor on the learning rate. */
  lrScale: number;
  /** Largest learning rate; Infinity where there is no limit. */
  maxLr: number;
  /** Name of the group, "" where the parameters name none. */
  group: string;
}

/** One parameter of a bucket. */
export interface BucketEntry {
  readonly name: string;
  /** The parameter as the module sees it. */
  readonly tensor: Tensor;
  /** First element in the flat tensors. */
  readonly offset: number;
}

/** Flat float32 tensors of one length: the parameters of a group, their gradients and their moments. */
export interface Bucket extends BucketSettings {
  readonly entries: readonly BucketEntry[];
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
}

// 256 bytes: what a device's pool aligns to, so that a view is as aligned as a tensor of its own.
const kAlignment = 64;

/** @internal out of the hands of every scope: lives as long as the optimiser */
export function kept(t: Tensor): Tensor {
  currentScope()?.forget(t);
  return t;
}

/** @internal a stretch of a flat tensor in another shape */
export function stretch(flat: Tensor, offset: number, shape: readonly number[]): Tensor {
  return kept(viewOf(flat, offset, shape, denseStrides(shape)));
}

function zeros(size: number, like: Tensor): Tensor {
  return kept(Tensor.zeros([size], { device: like.device }));
}

/** @internal buckets whose parameters stay where they are: one each, with the gradient that `backward` makes */
export class LooseBucket implements Bucket {
  readonly entries: readonly [BucketEntry];
  readonly weightDecay: number;
  readonly lrScale: number;
  readonly maxLr: number;
  readonly group: string;
  readonly parameter: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  #zeroGradient: Tensor | undefined;

  constructor(name: string, tensor: Tensor, { weightDecay, lrScale, maxLr, group }: BucketSettings) {
    this.entries = [{ name, tensor, offset: 0 }];
    this.weightDecay = weightDecay;
    this.lrScale = lrScale;
    this.maxLr = maxLr;
    this.group = group;
    this.parameter = stretch(tensor, 0, [tensor.size]);
    this.m = zeros(tensor.size, tensor);
    this.v = zeros(tensor.size, tensor);
  }

  /** Whether `backward` has left a gradient since the last `zeroGrad`. */
  get ready(): boolean {
    return this.entries[0].tensor.grad !== null;
  }

  get gradient(): Tensor {
    const { tensor } = this.entries[0];
    if (!tensor.grad) {
      this.#zeroGradient ??= zeros(tensor.size, tensor);
      return this.#zeroGradient;
    }
    const dense =
      tensor.grad.dtype === "float32" && isDense(tensor.grad)
        ? tensor.grad
        : kernels.copy({ x: tensor.grad, dtype: "float32" }).y;
    return viewOf(dense, 0, [tensor.size], [1]);
  }

  gather(): void {}

  zeroGrad(): void {
    const { tensor } = this.entries[0];
    tensor.grad?.dispose();
    tensor.grad = null;
  }

  dispose(): void {
    for (const t of [this.parameter, this.m, this.v, this.#zeroGradient]) t?.dispose();
  }
}

/** @internal whether the elements lie side by side in row-major order */
export function isDense(t: Tensor): boolean {
  const dense = denseStrides(t.shape);
  return t._strides.every((stride, i) => stride === dense[i] || t.shape[i] === 1);
}

/** @internal a bucket whose parameters and gradients are views of its flat tensors */
export class FlatBucket implements Bucket {
  readonly entries: readonly BucketEntry[];
  readonly weightDecay: number;
  readonly lrScale: number;
  readonly maxLr: number;
  readonly group: string;
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly ready = true;
  readonly #gradients: Tensor[];

  /** Copies the parameters; the views in `entries` are for the module to take. */
  constructor(
    parameters: readonly (readonly [string, Tensor])[],
    { weightDecay, lrScale, maxLr, group }: BucketSettings,
  ) {
    this.weightDecay = weightDecay;
    this.lrScale = lrScale;
    this.maxLr = maxLr;
    this.group = group;
    let size = 0;
    const offsets = parameters.map(([, tensor]) => {
      const offset = size;
      size += Math.ceil(tensor.size / kAlignment) * kAlignment;
      return offset;
    });
    const first = (parameters[0] as readonly [string, Tensor])[1];
    this.parameter = zeros(size, first);
    this.gradient = zeros(size, first);
    this.m = zeros(size, first);
    this.v = zeros(size, first);
    this.entries = parameters.map(([name, from], i) => {
      const offset = offsets[i] as number;
      const tensor = stretch(this.parameter, offset, from.shape);
      kernels.copy({ x: from, dtype: "float32" }, { y: tensor });
      return { name, tensor, offset };
    });
    this.#gradients = this.entries.map(({ tensor, offset }) => stretch(this.gradient, offset, tensor.shape));
    for (const [i, { tensor }] of this.entries.entries()) tensor.grad = this.#gradients[i] as Tensor;
  }

  /** Brings gradients home that someone replaced (module.zeroGrad(), `grad = null`). */
  gather(): void {
    for (const [i, { tensor, offset }] of this.entries.entries()) {
      let home = this.#gradients[i] as Tensor;
      if (tensor.grad === home) continue;
      if (home.isDisposed) {
        home = stretch(this.gradient, offset, tensor.shape);
        this.#gradients[i] = home;
      }
      if (tensor.grad) {
        kernels.copy({ x: tensor.grad, dtype: "float32" }, { y: home });
        tensor.grad.dispose();
      } else {
        kernels.fill({ target: home, value: 0 });
      }
      tensor.grad = home;
    }
  }

  zeroGrad(): void {
    kernels.fill({ target: this.gradient, value: 0 });
    for (const [i, { tensor, offset }] of this.entries.entries()) {
      if (tensor.grad === this.#gradients[i]) continue;
      tensor.grad?.dispose();
      if (this.#gradients[i]?.isDisposed) this.#gradients[i] = stretch(this.gradient, offset, tensor.shape);
      tensor.grad = this.#gradients[i] as Tensor;
    }
  }

  dispose(): void {
    for (const { tensor } of this.entries) tensor.grad = null;
    for (const t of [...this.#gradients, this.parameter, this.gradient, this.m, this.v]) t.dispose();
  }
}
