// Mixers by name.
import { oneOf, refuse } from "./check.ts";
import type { PlaceOptions } from "./init.ts";
import { Mamba, type MambaOptions } from "./mamba.ts";
import type { Mixer } from "./mixer.ts";
import { S4, type S4Options } from "./s4.ts";
import { S4D, type S4DOptions } from "./s4d.ts";

type Settings<Options> = Omit<Options, "dModel" | keyof PlaceOptions>;

/** A kind of mixer with its options. */
export type MixerSpec =
  | ({ readonly type: "s4" } & Settings<S4Options>)
  | ({ readonly type: "s4d" } & Settings<S4DOptions>)
  | ({ readonly type: "mamba" } & Settings<MambaOptions>);

/** The kinds of mixers. */
export type MixerName = MixerSpec["type"];

type Place = PlaceOptions & { dModel: number };

const makers: { readonly [Name in MixerName]: (options: Extract<MixerSpec, { type: Name }> & Place) => Mixer } = {
  s4: (options) => new S4(options),
  s4d: (options) => new S4D(options),
  mamba: (options) => new Mamba(options),
};

/**
 * A mixer by its name, or by its name and options.
 *
 * @throws ArgumentError naming what was found and what is needed
 * @example
 * const mixer = nn.createMixer({ type: "s4d", init: "inv" }, { dModel: 64 });
 */
export function createMixer(spec: MixerName | MixerSpec, place: Place): Mixer {
  const given = typeof spec === "string" ? ({ type: spec } as MixerSpec) : spec;
  if (typeof given !== "object" || given === null) refuse("createMixer", "the mixer", spec, "a name, or { type, ... }");
  const { type } = given;
  const make = makers[oneOf("createMixer", "type", type, Object.keys(makers) as MixerName[])];
  return (make as (options: MixerSpec & Place) => Mixer)({ ...given, ...place });
}
