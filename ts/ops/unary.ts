// Elementwise functions of one tensor.
import { differentiable } from "../autograd/differentiable.ts";
import type { Kernels } from "../native/ops.generated.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";

type Kind =
  | "neg"
  | "abs"
  | "exp"
  | "log"
  | "sqrt"
  | "square"
  | "relu"
  | "sigmoid"
  | "tanh"
  | "silu"
  | "gelu"
  | "softplus";
type Function = (x: Tensor) => Tensor;

function unary(kind: Kind): Function {
  const backwardName = `${kind}Backward` as keyof Kernels<Tensor> & `${Kind}Backward`;
  const op = differentiable(kind, {
    forward({ x }: { x: Tensor }, _attributes: object) {
      return { outputs: { y: kernels[kind]({ x }).y }, saved: { x } };
    },
    backward({ y: dy }, { x }) {
      return { x: dy && kernels[backwardName]({ x, dy }).dx };
    },
  });
  return (x) => op({ x }, {}).y;
}

/** -x */
export const neg: Function = unary("neg");
/** |x|, with gradient 0 at 0 */
export const abs: Function = unary("abs");
/** e^x */
export const exp: Function = unary("exp");
/** Natural logarithm. */
export const log: Function = unary("log");
/** Square root. */
export const sqrt: Function = unary("sqrt");
/** x^2 */
export const square: Function = unary("square");
/** max(x, 0) */
export const relu: Function = unary("relu");
/** 1 / (1 + e^-x) */
export const sigmoid: Function = unary("sigmoid");
/** Hyperbolic tangent. */
export const tanh: Function = unary("tanh");
/** x sigmoid(x) (Elfwing et al. 2017). */
export const silu: Function = unary("silu");
/** x Phi(x) with the exact normal distribution function (Hendrycks & Gimpel 2016). */
export const gelu: Function = unary("gelu");
/** log(1 + e^x), x itself above 20 where they agree in float32. */
export const softplus: Function = unary("softplus");
