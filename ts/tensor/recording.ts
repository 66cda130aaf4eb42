// A sequence of operations that runs again at the cost of one call: a CUDA graph on the GPU, a list of tasks on the CPU.
import { native } from "../native/load.ts";
import { type Device, type DeviceSpec, device as findDevice } from "./device.ts";
import { type Trace, traced, written } from "./written.ts";

const registry = new FinalizationRegistry<number>((number) => native().releaseRecording(number));

/** What `record` gives. `replay` repeats the recorded operations on the same tensors; write into those to change inputs. */
export class Recording<T> implements Disposable {
  /** What the recorded function returned: its tensors hold the results of the last replay. */
  readonly result: T;
  readonly #number: number;
  readonly #trace: Trace;

  /** @internal */
  constructor(number: number, result: T, trace: Trace) {
    this.#number = number;
    this.result = result;
    this.#trace = trace;
    registry.register(this, number, this);
  }

  /** Enqueues all recorded operations. */
  replay(): void {
    for (const refresh of this.#trace.refresh) refresh();
    native().replay(this.#number);
    for (const tensor of this.#trace.writes) written(tensor);
  }

  /** Frees the recording; its memory goes with the last tensor made in it. */
  dispose(): void {
    registry.unregister(this);
    native().releaseRecording(this.#number);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Records the operations of `fn` on a device without running them. Reading, uploading, and
 * random numbers without a seed of their own throw ERR_RECORDING.
 *
 * @example
 * const step = record(() => model.forward(input), device);
 * step.replay();
 */
export function record<T>(fn: () => T, on?: Device | DeviceSpec): Recording<T> {
  const number = native().beginRecording(findDevice(on).number);
  let recorded: { result: T; trace: Trace };
  try {
    recorded = traced(fn);
  } catch (error) {
    native().endRecording();
    native().releaseRecording(number);
    throw error;
  }
  native().endRecording();
  return new Recording(number, recorded.result, recorded.trace);
}
