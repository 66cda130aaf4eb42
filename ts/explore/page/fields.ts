// Knobs as data: the page draws them and keeps them in its address, the server checks what comes in by them.

export interface NumberField {
  kind: "number";
  label: string;
  least: number;
  most: number;
  start: number;
  /** Digits after the point on the page. */
  digits: number;
  /** On a logarithmic slider. */
  isLog?: boolean;
}

export interface ChoiceField<T extends string | number> {
  kind: "choice";
  label: string;
  options: readonly T[];
  start: T;
}

/** A list of numbers, such as a drawn signal. */
export interface NumbersField {
  kind: "numbers";
  label: string;
  least: number;
  most: number;
  /** The most numbers. */
  count: number;
  start: readonly number[];
  /** Drawn with the pointer, not typed. */
  isDrawn?: boolean;
}

export interface TextField {
  kind: "text";
  label: string;
  /** The most characters. */
  most: number;
  start: string;
}

export type Field = NumberField | ChoiceField<string | number> | NumbersField | TextField;
export type Fields = Readonly<Record<string, Field>>;

export type ValueOf<F extends Field> =
  F extends ChoiceField<infer T>
    ? T
    : F extends NumberField
      ? number
      : F extends NumbersField
        ? readonly number[]
        : string;

export type Values<F extends Fields> = { readonly [Name in keyof F]: ValueOf<F[Name]> };

type Range = { label: string; least: number; most: number; start: number; digits?: number; isLog?: boolean };

export const number = ({ digits = 2, ...rest }: Range): NumberField => ({ kind: "number", digits, ...rest });

export const choice = <const T extends string | number>(
  label: string,
  options: readonly T[],
  start: NoInfer<T>,
): ChoiceField<T> => ({ kind: "choice", label, options, start });
