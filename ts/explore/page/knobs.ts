// Knobs: fields as inputs, their values as the tail of the address.
import { element } from "./dom.ts";
import type { ChoiceField, Field, Fields, NumberField, NumbersField, Values } from "./fields.ts";

type Value = string | number | readonly number[];

const steps = 1000;

/** A place of the slider, 0 to 1000, as a number of the field. */
function fromSlider({ least, most, digits, isLog }: NumberField, place: number): number {
  const part = place / steps;
  const value = isLog ? least * (most / least) ** part : least + (most - least) * part;
  return Math.min(most, Math.max(least, Number(isLog ? value.toPrecision(3) : value.toFixed(digits))));
}

function toSlider({ least, most, isLog }: NumberField, value: number): number {
  const part = isLog ? Math.log(value / least) / Math.log(most / least) : (value - least) / (most - least);
  return Math.round(part * steps);
}

/** Numbers between spaces or commas, or null where they are none of the field's. */
function numbersIn({ least, most, count }: NumbersField, text: string): number[] | null {
  const values = text
    .trim()
    .split(/[\s,;]+/)
    .map(Number);
  const isGood = values.length >= 2 && values.length <= count && values.every((x) => x >= least && x <= most);
  return isGood ? values : null;
}

/** A value out of an address, or null where it is none of the field's. */
function parse(field: Field, text: string): Value | null {
  switch (field.kind) {
    case "number": {
      const value = text === "" ? Number.NaN : Number(text);
      return value >= field.least && value <= field.most && (field.digits > 0 || Number.isInteger(value))
        ? value
        : null;
    }
    case "choice":
      return field.options.find((option) => String(option) === text) ?? null;
    case "numbers":
      return numbersIn(field, text.replaceAll("_", " "));
    case "text":
      return text.length <= field.most ? text : null;
  }
}

const write = (value: Value): string => (typeof value === "object" ? value.join("_") : String(value));

/** The inputs of a panel. */
export class Knobs<F extends Fields> {
  readonly box: HTMLElement;
  readonly #fields: F;
  readonly #onTurn: () => void;
  readonly #values: Record<string, Value> = {};
  readonly #show: Record<string, () => void> = {};
  readonly #inputs: Record<string, HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement> = {};

  constructor(prefix: string, fields: F, onTurn: () => void) {
    this.#fields = fields;
    this.#onTurn = onTurn;
    this.box = element("form", { class: "knobs", "aria-label": "Knobs" });
    this.box.addEventListener("submit", (event) => event.preventDefault());
    for (const [name, field] of Object.entries(fields)) {
      this.#values[name] = field.start;
      if (field.kind === "numbers" && field.isDrawn) continue;
      this.box.append(this.#make(`${prefix}-${name}`, name, field));
      this.#show[name]?.();
    }
    const reset = element("button", { type: "button", class: "plain" }, "Reset");
    reset.addEventListener("click", () => {
      this.read(new URLSearchParams());
      onTurn();
    });
    this.box.append(reset);
  }

  get values(): Values<F> {
    return { ...this.#values } as Values<F>;
  }

  set(name: keyof F & string, value: Value): void {
    this.#values[name] = value;
    this.#show[name]?.();
  }

  /** Whether a knob has a meaning beside the others. */
  enable(name: keyof F & string, isEnabled: boolean): void {
    (this.#inputs[name] as HTMLInputElement).disabled = !isEnabled;
  }

  /** Whether an option of a choice has a meaning beside the other knobs. */
  allow(name: keyof F & string, option: string, isAllowed: boolean): void {
    const select = this.#inputs[name] as HTMLSelectElement;
    for (const item of select.options) if (item.value === option) item.disabled = !isAllowed;
  }

  /** Takes values from an address; what is absent or wrong is as it starts. */
  read(query: URLSearchParams): void {
    for (const [name, field] of Object.entries(this.#fields)) {
      const text = query.get(name);
      this.set(name, (text === null ? null : parse(field, text)) ?? field.start);
    }
  }

  /** The values that are not as they start, for an address. */
  write(): URLSearchParams {
    const changed = Object.entries(this.#fields).filter(
      ([name, { start }]) => write(this.#values[name] as Value) !== write(start),
    );
    return new URLSearchParams(changed.map(([name]) => [name, write(this.#values[name] as Value)]));
  }

  #make(id: string, name: string, field: Field): HTMLElement {
    const shown = element("output", { for: id });
    const label = element("label", { for: id }, field.label, shown);
    const turn = (value: Value): void => {
      this.#values[name] = value;
      this.#show[name]?.();
      this.#onTurn();
    };
    const isLarge = field.kind === "text" || field.kind === "numbers";
    const input = this.#input(id, name, field, turn, shown);
    this.#inputs[name] = input;
    return element("div", { class: isLarge ? "knob large" : "knob" }, label, input);
  }

  #input(
    id: string,
    name: string,
    field: Field,
    turn: (value: Value) => void,
    shown: HTMLOutputElement,
  ): HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement {
    if (field.kind === "choice") return this.#select(id, name, field, turn);
    if (field.kind === "number") {
      const isWhole = field.digits === 0;
      const [min, max] = isWhole ? [field.least, field.most] : [0, steps];
      const slider = element("input", { id, type: "range", min, max, step: 1 });
      slider.addEventListener("input", () => {
        turn(isWhole ? slider.valueAsNumber : fromSlider(field, slider.valueAsNumber));
      });
      this.#show[name] = () => {
        const value = this.#values[name] as number;
        const place = isWhole ? value : toSlider(field, value);
        if (slider.valueAsNumber !== place) slider.value = String(place);
        shown.textContent = String(value);
        slider.setAttribute("aria-valuetext", String(value));
      };
      return slider;
    }
    if (field.kind === "text") {
      const area = element("textarea", { id, maxlength: field.most, rows: 9, spellcheck: "false" });
      area.addEventListener("input", () => turn(area.value));
      this.#show[name] = () => {
        if (area.value !== this.#values[name]) area.value = this.#values[name] as string;
      };
      return area;
    }
    const line = element("input", { id, type: "text", inputmode: "decimal" });
    line.addEventListener("input", () => {
      const values = numbersIn(field, line.value);
      line.setCustomValidity(values ? "" : `2 to ${field.count} numbers from ${field.least} to ${field.most}`);
      line.reportValidity();
      if (values) turn(values);
    });
    this.#show[name] = () => {
      if (document.activeElement !== line) line.value = (this.#values[name] as readonly number[]).join(" ");
    };
    return line;
  }

  #select(
    id: string,
    name: string,
    field: ChoiceField<string | number>,
    turn: (value: Value) => void,
  ): HTMLSelectElement {
    const options = field.options.map((option) => element("option", { value: option }, String(option)));
    const select = element("select", { id }, ...options);
    select.addEventListener("change", () => turn(field.options[select.selectedIndex] as Value));
    this.#show[name] = () => {
      select.value = String(this.#values[name]);
    };
    return select;
  }
}
