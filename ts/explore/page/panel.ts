// A panel: words, knobs, and what is drawn from the answers. Requests wait for a short rest; the latest one wins.
import { type About, type Answer, type Failure, type PanelName, panels, type Results } from "./contract.ts";
import { element } from "./dom.ts";
import type { Values } from "./fields.ts";
import { Knobs } from "./knobs.ts";

type FieldsOf<P extends PanelName> = (typeof panels)[P]["fields"];

/** What a panel adds to the frame. */
export interface View<P extends PanelName> {
  words: readonly string[];
  formula: string;
  /** Where it draws. */
  content: readonly HTMLElement[];
  draw(result: Results[P], values: Values<FieldsOf<P>>): void;
  /** After a turn of a knob, before the request: knobs that exclude each other. */
  settle?(knobs: Knobs<FieldsOf<P>>): void;
  /** The part of the values that the server needs, where another turn needs no new answer. */
  request?(values: Values<FieldsOf<P>>): object;
  /** Shown instead of knobs and charts. */
  instead?(about: About): HTMLElement | null;
}

const restMs = 60;

export class Panel<P extends PanelName> {
  readonly name: P;
  readonly box: HTMLElement;
  readonly knobs: Knobs<FieldsOf<P>>;
  readonly #view: View<P>;
  readonly #problem: HTMLElement = element("p", { class: "problem", role: "alert", hidden: true });
  readonly #content: HTMLElement;
  readonly #isIdle: boolean;
  readonly #onTurn: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | undefined;
  #asked = "";
  #result: Results[P] | undefined;

  constructor(name: P, view: (panel: () => Panel<P>) => View<P>, about: About, onTurn: () => void) {
    this.name = name;
    this.#onTurn = onTurn;
    this.#view = view(() => this);
    const { title, chapter, fields } = panels[name];
    this.knobs = new Knobs(name, fields as FieldsOf<P>, () => this.turned());
    const href = `theory/${about.chapters.includes(chapter) ? chapter : "README.md"}`;
    const { words, formula, content, instead } = this.#view;
    this.#content = element("div", { class: "content" }, ...content);
    const replaced = instead?.(about) ?? null;
    this.#isIdle = replaced !== null;
    this.box = element(
      "section",
      { id: `panel-${name}`, role: "tabpanel", "aria-labelledby": `tab-${name}`, hidden: true },
      element(
        "div",
        { class: "intro" },
        element("h2", {}, title),
        ...words.map((text) => element("p", {}, text)),
        element("div", { class: "formula", tabindex: 0, role: "group", "aria-label": "Formula" }, formula),
        element(
          "p",
          { class: "note" },
          "More in ",
          element("a", { href, target: "_blank" }, `the theory, ${chapter}`),
          ".",
        ),
      ),
      replaced ?? element("div", { class: "work" }, this.knobs.box, element("div", {}, this.#problem, this.#content)),
    );
  }

  /** A knob was turned: the view follows, and so does the address. */
  turned(): void {
    this.turn();
    this.#onTurn();
  }

  /** The view changes as the knobs stand. */
  turn(): void {
    if (this.#isIdle) return;
    this.#view.settle?.(this.knobs);
    const body = JSON.stringify(this.#view.request?.(this.knobs.values) ?? this.knobs.values);
    if (body === this.#asked) {
      if (this.#result) this.#draw(this.#result);
      return;
    }
    this.#asked = body;
    this.box.dataset.state = "waiting";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(body), restMs);
  }

  async #ask(body: string): Promise<void> {
    this.#asking?.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    let answer: Answer<Results[P]>;
    try {
      const headers = { "Content-Type": "application/json" };
      const response = await fetch(`/api/${this.name}`, { method: "POST", headers, body, signal });
      answer = (await response.json()) as Answer<Results[P]>;
    } catch (error) {
      if (signal.aborted) return;
      answer = {
        failure: {
          code: "ERR_CONNECTION",
          message: `The server does not answer (${String(error)})`,
          remedy: "Start statespace explore again",
        },
      };
    }
    if (signal.aborted || body !== this.#asked) return;
    if ("failure" in answer) this.#fail(answer.failure);
    else {
      this.#result = answer.result;
      this.#draw(answer.result);
    }
  }

  #draw(result: Results[P]): void {
    this.#problem.hidden = true;
    this.#content.classList.remove("stale");
    this.#view.draw(result, this.knobs.values);
    this.box.dataset.state = "drawn";
  }

  #fail({ code, message, remedy }: Failure): void {
    this.#problem.textContent = `${code}: ${message}${remedy ? `\n${remedy}` : ""}`;
    this.#problem.hidden = false;
    this.#content.classList.add("stale");
    this.box.dataset.state = "failed";
    if (code === "ERR_CONNECTION") this.#asked = "";
  }
}

/** Names and values in a row. */
export class Facts {
  readonly box: HTMLElement = element("dl", { class: "facts", "aria-live": "polite" });

  /** A name that ends with "!" is bad news. */
  set(facts: Readonly<Record<string, string>>): void {
    this.box.replaceChildren(
      ...Object.entries(facts).map(([name, value]) =>
        element(
          "div",
          { class: name.endsWith("!") ? "bad" : value.length > 24 ? "long" : undefined },
          element("dt", {}, name.replace(/!$/, "")),
          element("dd", {}, value),
        ),
      ),
    );
  }
}
