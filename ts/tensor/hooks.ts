// What methods of a tensor need from the layers above; autograd and ops put it here when they are loaded.

import type { DType } from "../native/dtype.ts";
import type { Device, DeviceSpec } from "./device.ts";
import type { Tensor } from "./tensor.ts";

interface Hooks {
  to(t: Tensor, options: { device?: Device | DeviceSpec | undefined; dtype?: DType | undefined }): Tensor;
  backward(t: Tensor, grad: Tensor | undefined, options: { retainGraph?: boolean }): void;
}

/** @internal */
export const hooks: Hooks = {} as Hooks;
