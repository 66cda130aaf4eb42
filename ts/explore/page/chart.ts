// Charts by uPlot in the page's colours; the data of each are also on its element, for tests and for curious people.
import uPlot from "uplot";
import { colour, element, short } from "./dom.ts";

export type Column = readonly (number | null)[];

export interface Line {
  label: string;
  /** A colour's name in the style sheet. */
  colour: string;
  width?: number;
  dash?: number[];
  /** Points instead of a line. */
  isDots?: boolean;
}

export interface ChartOptions {
  title: string;
  /** What the x axis counts. */
  xLabel: string;
  lines: readonly Line[];
  height?: number;
  isWide?: boolean;
  note?: string;
  /** Fixed ends of the axes; by default those of the data. */
  x?: readonly [number, number];
  y?: readonly [number, number];
  /** Draws behind the lines. */
  behind?: (plot: uPlot) => void;
  /** The point under the cursor has changed. */
  onCursor?: (index: number | null) => void;
  /** Equal units on both axes, where their ends are; no legend. */
  isSquare?: boolean;
}

const all = new Set<Chart>();
const [xAxis, yAxis] = [32, 56];
const largestSquare = 340;

/** One chart: `set` gives it x and a column for each line. */
export class Chart {
  readonly box: HTMLElement;
  x: readonly [number, number] | undefined;
  y: readonly [number, number] | undefined;
  plot: uPlot | undefined;
  readonly #options: ChartOptions;
  readonly #place: HTMLElement;
  #data: Column[] = [];

  constructor(id: string, options: ChartOptions) {
    this.#options = options;
    this.x = options.x;
    this.y = options.y;
    this.#place = element("div");
    this.box = element("section", { class: options.isWide ? "chart wide" : "chart", id, "aria-label": options.title });
    this.box.append(element("h3", {}, options.title), this.#place);
    if (options.note) this.box.append(element("p", { class: "note" }, options.note));
    all.add(this);
    new ResizeObserver(() => this.#fit()).observe(this.#place);
  }

  get data(): readonly Column[] {
    return this.#data;
  }

  set(...columns: Column[]): void {
    this.#data = columns;
    this.box.dataset.points = JSON.stringify(
      columns.map((c) => c.map((v) => (v === null ? null : Number(v.toPrecision(5))))),
    );
    if (this.plot) this.plot.setData(columns as unknown as uPlot.AlignedData);
    else this.#make();
  }

  /** Made again: the colours of a canvas are fixed. */
  recolour(): void {
    this.plot?.destroy();
    this.plot = undefined;
    if (this.#data.length > 0) this.#make();
  }

  #fit(): void {
    const width = this.#place.clientWidth;
    if (width === 0) return;
    if (!this.plot && this.#data.length > 0) this.#make();
    else if (this.plot) {
      const size = this.#size(width);
      if (this.plot.width !== size.width) this.plot.setSize(size);
    }
  }

  #size(place: number): { width: number; height: number } {
    const { height = 260, isSquare } = this.#options;
    if (!isSquare) return { width: place, height };
    const width = Math.min(place, largestSquare);
    // What the axes and the padding leave is a square.
    return { width, height: width - yAxis - 12 + xAxis + 8 };
  }

  #make(): void {
    const width = this.#place.clientWidth;
    if (width === 0) return; // hidden: made when it is shown
    const { lines, behind, onCursor, xLabel, isSquare = false } = this.#options;
    const axis = {
      stroke: colour("soft"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { stroke: colour("line") },
      values: (_plot: uPlot, ticks: number[]) => ticks.map((v) => (v == null ? "" : short(v))),
    };
    const ends =
      (fixed: () => readonly [number, number] | undefined) =>
      (_plot: uPlot, low: number, high: number): [number, number] => {
        const given = fixed();
        if (given) return [given[0], given[1]];
        if (low == null || high == null) return [0, 1];
        const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
        return [low - room, high + room];
      };
    this.plot = new uPlot(
      {
        ...this.#size(width),
        padding: [8, 12, 0, 0],
        legend: { show: !isSquare },
        cursor: { drag: { x: false, y: false } },
        scales: {
          x: { time: false, ...(this.#options.x && { range: ends(() => this.x) }) },
          y: { range: ends(() => this.y) },
        },
        axes: [
          { ...axis, size: xAxis },
          { ...axis, size: yAxis },
        ],
        series: [
          { label: xLabel, value: (_plot, v) => (v == null ? "" : short(v)) },
          ...lines.map(
            (line): uPlot.Series => ({
              label: line.label,
              stroke: colour(line.colour),
              width: line.width ?? (line.isDots ? 0 : 1.8),
              ...(line.dash && { dash: line.dash }),
              ...(line.isDots && { paths: () => null }),
              points: line.isDots ? { show: true, size: 7, fill: colour(line.colour) } : { show: false },
              value: (_plot, v) => (v == null ? "–" : short(v, 4)),
            }),
          ),
        ],
        hooks: {
          ...(behind && { drawClear: [behind] }),
          ...(onCursor && { setCursor: [(plot: uPlot) => onCursor(plot.cursor.idx ?? null)] }),
        },
      },
      this.#data as unknown as uPlot.AlignedData,
      this.#place,
    );
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of all) chart.recolour();
});
