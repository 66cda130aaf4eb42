// The explorer in a real browser: each knob moves what it should, at a desk and on a phone, without a console error.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { BrowserContext, Page } from "playwright-core";
import { type PanelName, panels } from "../../dist/explore/page/contract.js";
import { type Running, startExplorer } from "../../dist/explore/server.js";
import { smallModel } from "./support.js";

const wanted = process.env.STATESPACE_TEST_BROWSER;
const known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executable = wanted && wanted !== "required" ? wanted : known.find((path) => existsSync(path));
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

describe("explorer in a browser", function () {
  this.timeout(120_000);
  const model = smallModel();
  const problems: string[] = [];
  let folder: string;
  let context: BrowserContext;
  let server: Running;
  let page: Page;

  before(async function () {
    if (!executable && wanted !== "required") {
      console.warn(
        "not tested: there is no Chromium here; apt-get install chromium, or name one in STATESPACE_TEST_BROWSER",
      );
      this.skip();
    }
    const { chromium } = await import("playwright-core");
    folder = mkdtempSync(join(tmpdir(), "statespace-browser-"));
    server = await startExplorer({ port: 0, reader: { folder: "runs/test", model } });
    context = await chromium.launchPersistentContext(folder, { executablePath: executable ?? "chromium", args });
    context.on("weberror", (error) => problems.push(String(error.error())));
    context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(message.text());
    });
    context.on("requestfailed", (request) => {
      // The latest request wins: those before it are given up.
      if (request.failure()?.errorText !== "net::ERR_ABORTED")
        problems.push(`${request.url()}: ${request.failure()?.errorText}`);
    });
    page = await context.newPage();
  });
  after(async () => {
    await context?.close();
    await server?.close();
    model.dispose();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => {
    expect(problems.splice(0)).deep.equal([]);
  });

  const settled = (name: PanelName): Promise<unknown> => page.waitForSelector(`#panel-${name}[data-state=drawn]`);
  async function open(address: string): Promise<void> {
    await page.goto("about:blank");
    await page.goto(`${server.url}#${address}`);
    await settled(address.split("?")[0] as PanelName);
  }
  /** What a chart, the tree or a row of facts shows. */
  const shows = (selector: string): Promise<string> =>
    page.locator(selector).evaluate((box) => (box as HTMLElement).dataset.points ?? box.textContent ?? "");
  const columns = async (selector: string): Promise<(number | null)[][]> => JSON.parse(await shows(selector));

  async function turn(panel: PanelName, knob: string, value: string | number): Promise<void> {
    const input = page.locator(`#${panel}-${knob}`);
    const tag = await input.evaluate((found) => (found as HTMLInputElement).type);
    if (tag === "select-one") await input.selectOption(String(value));
    else if (tag === "range") await input.fill(String(value));
    else await input.fill(String(value));
    await page.waitForTimeout(90); // longer than requests wait
    await settled(panel);
  }

  /** Turns a knob and expects some things to change and others to stay. */
  async function moves(
    panel: PanelName,
    knob: string,
    value: string | number,
    moved: string[],
    still: string[] = [],
  ): Promise<void> {
    const before = await Promise.all([...moved, ...still].map(shows));
    await turn(panel, knob, value);
    const after = await Promise.all([...moved, ...still].map(shows));
    for (const [i, selector] of [...moved, ...still].entries()) {
      const what = `${panel}: ${knob} = ${value}, ${selector}`;
      if (i < moved.length) expect(after[i], `${what} must move`).not.equal(before[i]);
      else expect(after[i], `${what} must stay`).equal(before[i]);
    }
  }

  it("discretization: every knob moves the motion, and euler leaves the circle", async () => {
    await open("discretization");
    const [motion, disc, plane] = ["#discretization-motion", "#discretization-disc", "#discretization-plane"];
    await moves("discretization", "real", 600, [motion, disc, plane]);
    await moves("discretization", "imag", 500, [motion, disc, plane]);
    await moves("discretization", "dt", 700, [motion, disc, plane]);
    await moves("discretization", "method", "bilinear", [motion, disc], [plane]);
    const region = (): Promise<string | undefined> =>
      page.locator(plane).evaluate((box) => (box as HTMLElement).dataset.stable);
    const half = await region();
    await moves("discretization", "method", "euler", [motion, disc], [plane]);
    expect(await region()).not.equal(half);
    expect(await page.locator("#panel-discretization .facts .bad").textContent()).match(/unstable/);
    await moves("discretization", "method", "gbt", [motion, disc]);
    await moves("discretization", "alpha", 900, [motion, disc], [plane]);
    for (const signal of ["step", "pulse", "sine", "sawtooth", "noise"]) {
      await moves("discretization", "signal", signal, [motion], [disc, plane]);
    }
    expect(await page.locator("#discretization-alpha").isDisabled()).equal(false);
    await turn("discretization", "method", "mamba");
    expect(await page.locator("#discretization-alpha").isDisabled()).equal(true);
  });

  it("hippo: knobs, time, drawing", async () => {
    await open("hippo");
    const [memory, error] = ["#hippo-memory", "#hippo-error"];
    await moves("hippo", "N", 8, [memory, error]);
    await moves("hippo", "dt", 900, [memory, error]);
    await moves("hippo", "method", "backward", [memory, error]);
    expect(await page.locator("#hippo-theta").isDisabled()).equal(true);
    for (const measure of ["legt", "fourier", "lagt", "legs, fading"]) {
      await moves("hippo", "measure", measure, [memory, error]);
    }
    await moves("hippo", "theta", 900, [memory, error]);
    await turn("hippo", "method", "zoh");
    await moves("hippo", "measure", "legs, scaled", [memory, error]);
    expect(await page.locator("#hippo-method").inputValue()).equal("bilinear");
    for (const signal of ["steps", "chirp", "noise"]) await moves("hippo", "signal", signal, [memory, error]);

    const remembered = async (): Promise<number> => (await columns(memory))[2]!.filter((x) => x !== null).length;
    const all = await remembered();
    await page.locator("#hippo-time").fill("10");
    expect(await remembered()).below(all / 3);
    await page.locator("#hippo-play").click();
    await page.waitForFunction(() => Number((document.getElementById("hippo-time") as HTMLInputElement).value) > 14);
    await page.locator("#hippo-play").click();

    const box = (await page.locator(`${memory} .u-over`).boundingBox())!;
    await page.mouse.move(box.x + 0.2 * box.width, box.y + 0.25 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + 0.8 * box.width, box.y + 0.25 * box.height, { steps: 6 });
    await page.mouse.up();
    await page.waitForTimeout(90);
    await settled("hippo");
    expect(await page.locator("#hippo-signal").inputValue()).equal("drawn");
    const [t, u] = await columns(memory);
    const middle = u!.filter((_, i) => t![i]! > 3 && t![i]! < 7);
    for (const x of middle) expect(x).closeTo(0.8, 0.1);
    await page.waitForFunction(() => location.hash.includes("drawn="));
  });

  it("hippo: what overflows is said in words", async () => {
    await open("hippo?measure=legt&N=64&theta=0.5");
    await page.locator("#hippo-method").selectOption("euler");
    await page.waitForSelector("#panel-hippo[data-state=failed]");
    expect(await page.locator("#panel-hippo .problem").textContent()).match(/ERR_UNSTABLE.*overflows/);
    await turn("hippo", "method", "zoh");
    expect(await page.locator("#panel-hippo .problem").isVisible()).equal(false);
  });

  it("kernel: knobs move kernel and outputs, which lie on each other", async () => {
    await open("kernel");
    const [taps, outputs] = ["#kernel-taps", "#kernel-outputs"];
    for (const [knob, value] of [
      ["N", 8],
      ["dt", 700],
      ["discretization", "bilinear"],
      ["seed", 7],
      ["C", "ones"],
      ["length", 256],
      ["init", "inv"],
      ["init", "legs"],
      ["init", "quad"],
      ["init", "real"],
    ] as const) {
      await moves("kernel", knob, value, [taps, outputs]);
      const [, , recurrence, convolution] = await columns(outputs);
      const size = Math.max(...recurrence!.map((x) => Math.abs(x as number)));
      recurrence!.forEach((x, k) => {
        expect(convolution![k]).closeTo(x as number, 2e-4 * size);
      });
    }
    for (const input of ["impulse", "step", "sine", "chirp", "noise"]) {
      await moves("kernel", "input", input, [outputs], [taps]);
    }
  });

  it("scan: knobs change the pairs, and steps go forward and back", async () => {
    await open("scan");
    const tree = "#scan-tree";
    await moves("scan", "seed", 9, [tree]);
    await moves("scan", "length", 5, [tree]);
    for (const pairs of ["running sum", "decay", "resets", "own"]) {
      if (pairs === "own") await moves("scan", "pairs", pairs, [], [tree]);
      else await moves("scan", "pairs", pairs, [tree]);
    }
    await moves("scan", "a", "1 2 3 1 1", [tree]);
    await moves("scan", "b", "1, 1, 1, 0, 0", [tree]);
    const first = await shows(tree);
    const seen = [first];
    while (await page.locator("#scan-forward").isEnabled()) {
      await page.locator("#scan-forward").click();
      seen.push(await shows(tree));
    }
    expect(seen.length).equal(9);
    const last = JSON.parse(seen.at(-1)!).slice(0, 5);
    expect(last.map(([, h]: [number, number]) => h)).deep.equal([1, 3, 10, 10, 10]);
    for (const before of seen.slice(0, -1).reverse()) {
      await page.locator("#scan-back").click();
      expect(await shows(tree)).equal(before);
    }
  });

  it("memory: text, layer and colours", async () => {
    await open("memory");
    const [delta, retained, norms] = ["#memory-delta", "#memory-retained", "#memory-norms"];
    await moves("memory", "layer", 1, [delta, retained], [norms]);
    const colours = (): Promise<string> =>
      page
        .locator("#memory-tokens")
        .evaluate((box) => [...box.children].map((c) => (c as HTMLElement).style.backgroundColor).join());
    for (const show of ["retained", "state norm"]) {
      const before = await colours();
      await moves("memory", "show", show, ["#panel-memory .facts"], [delta, retained, norms]);
      expect(await colours()).not.equal(before);
    }
    await moves("memory", "text", "ein anderer Text, ü", [delta, retained, norms, "#memory-tokens"]);
    expect(await shows("#memory-tokens")).equal("ein anderer Text, ·ü");
    expect((await columns(retained))[1]!.at(-1)).equal(1);
  });

  it("the address keeps the knobs, and Reset forgets them", async () => {
    await open("kernel?init=legs&N=16&dt=0.1");
    expect(await page.locator("#kernel-init").inputValue()).equal("legs");
    expect(await page.locator("output[for=kernel-dt]").textContent()).equal("0.1");
    await turn("kernel", "N", 64);
    await page.waitForFunction(() => location.hash === "#kernel?init=legs&N=64&dt=0.1");
    await page.locator("#panel-kernel button", { hasText: "Reset" }).click();
    await page.waitForFunction(() => location.hash === "#kernel");
    expect(await page.locator("#kernel-init").inputValue()).equal("lin");
    await open("kernel?init=nonsense&N=17&dt=-4");
    expect(await page.locator("#kernel-N").inputValue()).equal("32");
  });

  it("the keyboard reaches tabs and knobs, and each input has a name", async () => {
    await open("discretization");
    await page.locator("#tab-discretization").focus();
    await page.keyboard.press("ArrowRight");
    await settled("hippo");
    expect(await page.locator("#tab-hippo").getAttribute("aria-selected")).equal("true");
    await page.locator("#hippo-dt").focus();
    const before = await shows("#hippo-error");
    for (let i = 0; i < 8; i++) await page.keyboard.press("PageUp");
    await page.waitForTimeout(90);
    await settled("hippo");
    expect(await shows("#hippo-error")).not.equal(before);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll("input, select, textarea")]
        .filter((input) => !(input as HTMLInputElement).labels?.length && !input.getAttribute("aria-label"))
        .map((input) => input.id),
    );
    expect(nameless).deep.equal([]);
  });

  for (const width of [1180, 390]) {
    it(`nothing is wider than a window of ${width}, light or dark`, async () => {
      await page.setViewportSize({ width, height: 800 });
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const name of Object.keys(panels) as PanelName[]) {
          await open(name);
          expect(await page.evaluate(() => document.documentElement.scrollWidth), name).most(width);
          const href = await page.locator(`#panel-${name} .intro a`).getAttribute("href");
          expect((await fetch(`${server.url}${href}`)).status, `${href}`).equal(200);
        }
      }
    });
  }

  it("without a model the memory panel says how to get one", async () => {
    const bare = await startExplorer({ port: 0 });
    await page.goto(`${bare.url}#memory`);
    expect(await page.locator("#memory-empty").textContent()).match(/npm start/);
    await bare.close();
  });
});
