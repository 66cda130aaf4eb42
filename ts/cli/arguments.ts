// Numbers and choices of the command line, refused with a reason where they are wrong.
import { InvalidArgumentError } from "commander";
import type { DeviceSpec } from "../tensor/device.ts";

/** A number in a range. */
export function real(least: number, most: number = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!Number.isFinite(value) || value < least || value > most) {
      const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`Expected a number ${range}.`);
    }
    return value;
  };
}

/** An integer in a range. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const parse = real(least, most);
  return (text) => {
    const value = parse(text);
    if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("Expected an integer.");
    return value;
  };
}

/** A device as `device()` takes it. */
export function deviceSpec(text: string): DeviceSpec {
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(text)) throw new InvalidArgumentError("Expected auto, cpu, cuda or cuda:N.");
  return text as DeviceSpec;
}

/** Token ids between commas. */
export function idList(text: string): number[] {
  return text.split(",").map(integer(0, 2 ** 31 - 1));
}

/** Collects a repeated option. */
export function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
