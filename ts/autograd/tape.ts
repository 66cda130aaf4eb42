// The graph that `backward()` walks: each operation that was recorded, newest first.
import { makeError } from "../native/errors.ts";
import { native } from "../native/load.ts";
import { hooks } from "../tensor/hooks.ts";
import { converted, kernels } from "../tensor/kernels.ts";
import { currentScope, scope } from "../tensor/scope.ts";
import { type GraphNode, Tensor } from "../tensor/tensor.ts";
import { noGrad } from "./mode.ts";

/** @internal an operation that can go backward */
export interface TapeNode extends GraphNode {
  /** Grows with every operation, so that a node is newer than all it depends on. */
  readonly sequence: number;
  /** The tensors that gradients flow to, in the order of what `backward` returns. */
  readonly inputs: readonly (Tensor | null)[];
  readonly outputs: number;
  /** Gradients of the inputs from those of the outputs; null where none flows. `last`: `release` follows. */
  backward(gradients: (Tensor | null)[], last: boolean): (Tensor | null)[];
  /** Frees what was saved for `backward`. */
  release(): void;
  released: boolean;
}

let sequence = 0;

/** @internal the number of the next node */
export function nextSequence(): number {
  return sequence++;
}

function nodeOf(t: Tensor): TapeNode | null {
  return t._node as TapeNode | null;
}

/** Every node that `root` depends on, newest first. */
function newestFirst(root: TapeNode): TapeNode[] {
  const seen = new Set<TapeNode>([root]);
  const waiting = [root];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    for (const input of node.inputs) {
      const before = input && nodeOf(input);
      if (before && !seen.has(before)) {
        seen.add(before);
        waiting.push(before);
      }
    }
  }
  return [...seen].sort((a, b) => b.sequence - a.sequence);
}

// A gradient may be one tensor object in several places (add passes dy on to both sides), so places are counted.
class Gradients {
  readonly #uses = new Map<Tensor, number>();
  // Sums that nothing else can see: these alone are added to in place.
  readonly #own = new Set<Tensor>();

  use(t: Tensor): Tensor {
    this.#uses.set(t, (this.#uses.get(t) ?? 0) + 1);
    return t;
  }

  /** Whether another place holds the same object. */
  isShared(t: Tensor): boolean {
    return (this.#uses.get(t) ?? 0) > 1;
  }

  /** Leaves the last use of a tensor to the caller. */
  release(t: Tensor): void {
    this.#uses.delete(t);
    this.#own.delete(t);
  }

  drop(t: Tensor): void {
    const left = (this.#uses.get(t) ?? 1) - 1;
    if (left > 0) {
      this.#uses.set(t, left);
      return;
    }
    this.#uses.delete(t);
    this.#own.delete(t);
    t.dispose();
  }

  /** Takes both over and gives their sum. */
  meet(before: Tensor, more: Tensor): Tensor {
    if (this.#own.has(before)) {
      kernels.accumulate({ target: before, x: more });
      this.drop(more);
      return before;
    }
    const dtype = before.dtype === more.dtype ? before.dtype : "float32";
    const [a, b] = [converted(before, dtype), converted(more, dtype)];
    const sum = this.use(kernels.add({ a, b }).y);
    this.#own.add(sum);
    if (a !== before) a.dispose();
    if (b !== more) b.dispose();
    this.drop(before);
    this.drop(more);
    return sum;
  }
}

/**
 * Adds `gradient` to `leaf.grad` and takes it over. The leaf's gradient has memory of its own, since later ones are added
 * in place: the gradient's where nothing else sees it, else a copy.
 */
function accumulate(leaf: Tensor, gradient: Tensor): void {
  if (leaf.grad) {
    kernels.accumulate({ target: leaf.grad, x: gradient });
    gradient.dispose();
    return;
  }
  const { isContiguous, isExclusive } = native();
  const isOwn = gradient.dtype === leaf.dtype && isExclusive(gradient._handle) && isContiguous(gradient._handle);
  leaf.grad = isOwn ? gradient : kernels.copy({ x: gradient, dtype: leaf.dtype }).y;
  if (!isOwn) gradient.dispose();
  currentScope()?.forget(leaf.grad);
}

function seed(root: Tensor, grad: Tensor | undefined): Tensor {
  if (!grad) {
    if (root.size !== 1) {
      throw makeError(
        "ERR_SHAPE",
        `backward: the tensor has shape [${root.shape.join(", ")}]; give a gradient, or one element`,
      );
    }
    return Tensor.ones(root.shape, { dtype: root.dtype, device: root.device });
  }
  if (grad.shape.length !== root.shape.length || grad.shape.some((s, i) => s !== root.shape[i])) {
    throw makeError("ERR_SHAPE", `backward: grad is [${grad.shape.join(", ")}], expected [${root.shape.join(", ")}]`);
  }
  return kernels.copy({ x: grad, dtype: root.dtype }).y;
}

function backward(root: Tensor, grad: Tensor | undefined, { retainGraph = false }: { retainGraph?: boolean }): void {
  if (!root.requiresGrad) {
    throw makeError(
      "ERR_ARGUMENT",
      "backward: no gradient flows through this tensor; none of what it came from requires one",
    );
  }
  noGrad(() => {
    const start = seed(root, grad);
    const top = nodeOf(root);
    if (!top) {
      accumulate(root, start);
      return;
    }
    const order = newestFirst(top);
    for (const node of order) {
      if (node.released) {
        throw makeError(
          "ERR_GRAPH_FREED",
          `backward: what ${node.name} saved was freed by an earlier backward(); pass { retainGraph: true } there`,
        );
      }
    }
    walk(order, top, root._output, start, retainGraph);
  });
}

function walk(order: TapeNode[], top: TapeNode, output: number, start: Tensor, retainGraph: boolean): void {
  const gradients = new Gradients();
  const arrived = new Map<TapeNode, (Tensor | null)[]>();
  const leaves = new Map<Tensor, Tensor>();
  const at = (node: TapeNode): (Tensor | null)[] => {
    let list = arrived.get(node);
    if (!list) {
      list = new Array<Tensor | null>(node.outputs).fill(null);
      arrived.set(node, list);
    }
    return list;
  };
  at(top)[output] = gradients.use(start);
  for (const node of order) {
    const coming = arrived.get(node);
    arrived.delete(node);
    if (coming) {
      // What a rule makes on its way and does not return goes with this scope.
      const going = scope(() => node.backward(coming, !retainGraph));
      // Counted before the incoming ones are let go: they may be the same objects.
      for (const gradient of going) if (gradient) gradients.use(gradient);
      for (const gradient of coming) if (gradient) gradients.drop(gradient);
      for (const [i, input] of node.inputs.entries()) {
        const gradient = going[i];
        if (!gradient) continue;
        if (!input?.requiresGrad) {
          gradients.drop(gradient);
          continue;
        }
        const before = nodeOf(input);
        if (before) {
          const list = at(before);
          const met = list[input._output];
          list[input._output] = met ? gradients.meet(met, gradient) : gradient;
        } else {
          const met = leaves.get(input);
          leaves.set(input, met ? gradients.meet(met, gradient) : gradient);
        }
      }
    }
    if (!retainGraph) node.release();
  }
  for (const [leaf, gradient] of leaves) {
    if (gradients.isShared(gradient)) {
      accumulate(leaf, kernels.copy({ x: gradient, dtype: gradient.dtype }).y);
      gradients.drop(gradient);
    } else {
      gradients.release(gradient);
      accumulate(leaf, gradient);
    }
  }
}

hooks.backward = backward;
