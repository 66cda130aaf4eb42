// What this machine reaches at best, measured in the same run: multiply-adds by a large matrix product, bytes by a copy.
import { type Device, ops, scope, Tensor } from "statespace";
import { type Budget, measure } from "./measure.ts";

export interface Ceilings {
  /** Single multiply-adds (or other float operations of a vector lane) in a millisecond. */
  multiplyAddsPerMs: number;
  /** Bytes read and written in a millisecond, beyond the caches. */
  bytesPerMs: number;
}

export async function measureCeilings(device: Device, budget: Budget): Promise<Ceilings> {
  const [rows, inner, columns] = [512, 768, 3072];
  const x = Tensor.randn([rows, inner], { device });
  const w = Tensor.randn([columns, inner], { device });
  const product = await measure("ceiling: multiply-add", device, () => scope(() => void ops.linear(x, w)), budget);
  const size = 1 << 25;
  const large = Tensor.zeros([size], { device });
  const copy = await measure("ceiling: copy", device, () => scope(() => void ops.scale(large, 1)), budget);
  for (const t of [x, w, large]) t.dispose();
  return { multiplyAddsPerMs: (rows * inner * columns) / product.minMs, bytesPerMs: (2 * 4 * size) / copy.minMs };
}
