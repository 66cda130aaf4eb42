// Runs a suite on every device under test: tensors that name no device are made there.
import type { Device } from "statespace";
import { isEmulated, testDevices } from "./devices.ts";

export function onEveryDevice(title: string, suite: (device: Device, emulated: boolean) => void): void {
  for (const device of testDevices()) onDevice(`${title} on ${device.kind}`, device, suite);
}

/** On the CPU alone: what does not depend on the device. */
export function onCpu(title: string, suite: () => void): void {
  const cpu = testDevices().find(({ kind }) => kind === "cpu");
  if (cpu) onDevice(title, cpu, suite);
}

function onDevice(title: string, device: Device, suite: (device: Device, emulated: boolean) => void): void {
  describe(title, () => {
    let previous: string | undefined;
    before(() => {
      previous = process.env.STATESPACE_DEVICE;
      process.env.STATESPACE_DEVICE = device.toString();
    });
    after(() => {
      if (previous === undefined) delete process.env.STATESPACE_DEVICE;
      else process.env.STATESPACE_DEVICE = previous;
    });
    suite(device, isEmulated(device));
  });
}
