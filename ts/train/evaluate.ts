// The loss on the validation part, summed on the device and read once.
import { noGrad } from "../autograd/mode.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Dataset } from "./data.ts";
import type { TrainableModel } from "./options.ts";

/** The mean loss over `batches` batches spread evenly over the validation part. The model is in evaluation meanwhile. */
export async function evaluate(model: TrainableModel, data: Dataset, batches: number): Promise<number> {
  const device = model.parameters()[0]?.device;
  const training = model.training;
  const total = Tensor.zeros([], { device });
  model.eval();
  try {
    for (let i = 0; i < batches; i++) {
      const { ids, targets, rows, length } = await data.validationBatch(i, batches);
      noGrad(() =>
        scope(() => {
          const [x, y] = [ids, targets].map((values) => Tensor.from(values, [rows, length], { device }));
          kernels.accumulate({ target: total, x: model.loss(x as Tensor, y as Tensor) });
        }),
      );
      // Memory in flight is bounded.
      if (i % 8 === 7) await total.device.synchronize();
    }
    return (await total.item()) / batches;
  } finally {
    if (training) model.train();
    total.dispose();
  }
}
