// What is computed from parameters once, and again only when they change.
import { noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { currentScope, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { currentTrace } from "../tensor/written.ts";

/** @internal tensors that `compute` makes of parameters, without gradient, current with their contents */
export class Derived<Made extends Readonly<Record<string, Tensor>>> {
  readonly #sources: readonly Tensor[];
  readonly #compute: () => Made;
  readonly #made: Made;
  #versions: readonly number[];

  constructor(sources: readonly Tensor[], compute: () => Made) {
    this.#sources = sources;
    this.#compute = compute;
    this.#versions = sources.map(({ _version }) => _version);
    this.#made = noGrad(() => scope(compute));
    for (const t of Object.values(this.#made)) currentScope()?.forget(t);
  }

  /** Whether it is of these very tensors. */
  isOf(sources: readonly Tensor[]): boolean {
    return sources.length === this.#sources.length && sources.every((t, i) => t === this.#sources[i]);
  }

  /** The tensors as they are now. In a recording, what is not current is made anew by each replay. */
  get(): Made {
    const trace = currentTrace();
    if (trace && !this.#isCurrent) return this.#compute();
    if (trace) trace.refresh.add(() => this.#refresh());
    else this.#refresh();
    return this.#made;
  }

  get #isCurrent(): boolean {
    return this.#sources.every(({ _version }, i) => _version === this.#versions[i]);
  }

  // In place, for recordings that read them.
  #refresh(): void {
    if (this.#isCurrent) return;
    if (this.#sources.some(({ isDisposed }) => isDisposed)) {
      throw makeError("ERR_DISPOSED", "replay: a parameter of the recorded layer was disposed");
    }
    noGrad(() =>
      scope(() => {
        for (const [name, x] of Object.entries(this.#compute())) {
          const y = this.#made[name] as Tensor;
          if (x !== y) kernels.copy({ x, dtype: x.dtype }, { y });
        }
      }),
    );
    this.#versions = this.#sources.map(({ _version }) => _version);
  }

  /** Frees the tensors, but for the parameters among them. */
  dispose(): void {
    for (const t of Object.values(this.#made)) if (!this.#sources.includes(t)) t.dispose();
  }
}
