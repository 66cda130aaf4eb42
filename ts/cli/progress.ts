// How training is shown: a bar where someone watches a terminal, plain lines everywhere else.
import { Presets, SingleBar } from "cli-progress";
import { note } from "./output.ts";

/** What is shown of a step. */
export interface Shown {
  step: number;
  loss: number;
  tokensPerSecond: number;
  validationLoss?: number | undefined;
  /** In place of the validation's loss. */
  validation?: string | undefined;
}

/** Shows the steps of a run. */
export interface Progress {
  update(result: Shown): void;
  stop(): void;
}

/** Time for people. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (h > 0) return `${h} h ${m} min`;
  return m > 0 ? `${m} min ${String(s).padStart(2, "0")} s` : `${s} s`;
}

class Averages {
  readonly #steps: number;
  readonly #started = performance.now();
  #first: number | undefined;
  #loss = 0;
  #rate = 0;
  #weight = 0;
  validation = "";

  constructor(steps: number) {
    this.#steps = steps;
  }

  add({ step, loss, tokensPerSecond, validationLoss, validation }: Shown): void {
    this.#first ??= step - 1;
    const keep = 0.95;
    this.#weight = keep * this.#weight + 1 - keep;
    this.#loss = keep * this.#loss + (1 - keep) * loss;
    this.#rate = keep * this.#rate + (1 - keep) * tokensPerSecond;
    const newest = validation ?? validationLoss?.toFixed(3);
    if (newest !== undefined) this.validation = newest;
  }

  get loss(): string {
    return (this.#loss / this.#weight).toFixed(3);
  }

  get rate(): string {
    return Math.round(this.#rate / this.#weight).toLocaleString("en");
  }

  left(step: number): string {
    const done = step - (this.#first ?? step);
    const seconds = (performance.now() - this.#started) / 1000;
    return duration(done > 0 ? (seconds / done) * (this.#steps - step) : Number.NaN);
  }
}

class Bar implements Progress {
  readonly #bar: SingleBar;
  readonly #averages: Averages;

  constructor(steps: number, from: number) {
    this.#averages = new Averages(steps);
    this.#bar = new SingleBar(
      {
        format: "{bar} {value}/{total}  loss {loss}  validation {validation}  {rate} tokens/s  {left} left",
        stream: process.stderr,
        hideCursor: true,
        barsize: 24,
        fps: 5,
      },
      Presets.shades_classic,
    );
    this.#bar.start(steps, from, { loss: "-", validation: "-", rate: "-", left: "?" });
  }

  update(result: Shown): void {
    const averages = this.#averages;
    averages.add(result);
    this.#bar.update(result.step, {
      loss: averages.loss,
      validation: averages.validation || "-",
      rate: averages.rate,
      left: averages.left(result.step),
    });
  }

  stop(): void {
    this.#bar.stop();
  }
}

class Lines implements Progress {
  readonly #averages: Averages;
  readonly #steps: number;
  readonly #every: number;

  constructor(steps: number) {
    this.#steps = steps;
    this.#every = Math.max(1, Math.ceil(steps / 20));
    this.#averages = new Averages(steps);
  }

  update(result: Shown): void {
    const averages = this.#averages;
    averages.add(result);
    const { step, validationLoss, validation: shown } = result;
    const isValidated = validationLoss !== undefined || shown !== undefined;
    if (!isValidated && step % this.#every !== 0 && step !== this.#steps) return;
    const validation = isValidated ? `  validation ${averages.validation}` : "";
    note(
      `step ${step}/${this.#steps}  loss ${averages.loss}${validation}  ${averages.rate} tokens/s  ${averages.left(step)} left`,
    );
  }

  stop(): void {}
}

/** A bar on a terminal, unless NO_COLOR or CI is set; else a line now and then. */
export function progress(steps: number, from: number): Progress {
  const plain = !process.stderr.isTTY || process.env.NO_COLOR || process.env.CI;
  return plain ? new Lines(steps) : new Bar(steps, from);
}
