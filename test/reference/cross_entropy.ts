// losses[r] = logsumexp(logits[r]) - logits[r, targets[r]], 0 where ignored; loss is their mean over the counted rows.
import { type Arr, dim, grid, read, zeros, zerosLike } from "./array.ts";

export interface CrossEntropyInputs {
  logits: Arr; // (rows, vocab)
  targets: Arr; // (rows), integers
}

export interface CrossEntropyOptions {
  ignoreIndex?: number;
}

function prepare(inputs: CrossEntropyInputs, ignoreIndex: number) {
  const logits = grid(inputs.logits);
  const [rows, vocab] = [dim(logits, 0), dim(logits, 1)];
  const target = (r: number) => read(inputs.targets.data, r);
  const counted = inputs.targets.data.filter((id) => id !== ignoreIndex).length;
  const logsumexp = (r: number) => {
    let largest = Number.NEGATIVE_INFINITY;
    for (let v = 0; v < vocab; v++) largest = Math.max(largest, logits.at(r, v));
    let sum = 0;
    for (let v = 0; v < vocab; v++) sum += Math.exp(logits.at(r, v) - largest);
    return largest + Math.log(sum);
  };
  return { logits, rows, vocab, target, counted, logsumexp };
}

export function forward(
  inputs: CrossEntropyInputs,
  { ignoreIndex = -100 }: CrossEntropyOptions = {},
): { loss: Arr; losses: Arr } {
  const { logits, rows, target, counted, logsumexp } = prepare(inputs, ignoreIndex);
  const [loss, losses] = [zeros([]), zeros([rows])];
  for (let r = 0; r < rows; r++) {
    if (target(r) === ignoreIndex) continue;
    losses.set(logsumexp(r) - logits.at(r, target(r)), r);
    loss.add(losses.at(r) / counted, 0);
  }
  return { loss, losses };
}

export function backward(
  inputs: CrossEntropyInputs,
  { ignoreIndex = -100 }: CrossEntropyOptions,
  upstream: { loss?: Arr | undefined; losses?: Arr | undefined },
): { logits: Arr } {
  const { logits, rows, vocab, target, counted, logsumexp } = prepare(inputs, ignoreIndex);
  const dlogits = zerosLike(logits);
  for (let r = 0; r < rows; r++) {
    if (target(r) === ignoreIndex) continue;
    const fromMean = upstream.loss ? read(upstream.loss.data, 0) / counted : 0;
    const dloss = fromMean + (upstream.losses ? read(upstream.losses.data, r) : 0);
    const lse = logsumexp(r);
    for (let v = 0; v < vocab; v++) {
      dlogits.set(dloss * (Math.exp(logits.at(r, v) - lse) - (v === target(r) ? 1 : 0)), r, v);
    }
  }
  return { logits: dlogits };
}
