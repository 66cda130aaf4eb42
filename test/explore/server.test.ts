// The explorer's server: only for its own page, and gone when it should be.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { isTrusted } from "../../dist/explore/safety.js";
import { explorer, startExplorer } from "../../dist/explore/server.js";
import { post, smallModel } from "./support.js";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

describe("explorer's server", () => {
  const app = explorer();
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    Promise.resolve(app.request(`http://localhost${path}`, { headers: { Host: "localhost:1", ...headers } }));

  it("trusts its own page by localhost, an address or its own name, and nobody else", () => {
    for (const [host, origin, own] of [
      ["localhost:8000", undefined, undefined],
      ["127.0.0.1:8000", "http://127.0.0.1:8000", undefined],
      ["[::1]:8000", "http://[::1]:8000", undefined],
      ["10.0.0.7:8000", "http://10.0.0.7:8000", "0.0.0.0"],
      ["gpu-box:8000", "http://gpu-box:8000", "gpu-box"],
    ] as const) {
      expect(isTrusted(host, origin, own), `${host} ${origin}`).equal(true);
    }
    for (const [host, origin, own] of [
      [undefined, undefined, undefined],
      ["", undefined, undefined],
      ["evil.example:8000", undefined, undefined],
      ["evil.example:8000", "http://evil.example:8000", undefined],
      ["localhost.evil.example", undefined, undefined],
      ["127.0.0.1.evil.example", undefined, undefined],
      ["localhost:8000", "http://evil.example", undefined],
      ["localhost:8000", "http://localhost:9000", undefined],
      ["localhost:8000", "https://localhost:8000", undefined],
      ["localhost:8000", "null", undefined],
      ["other:8000", undefined, "gpu-box"],
      ["not a host", undefined, undefined],
    ] as const) {
      expect(isTrusted(host, origin, own), `${host} ${origin}`).equal(false);
    }
  });

  it("refuses strangers on every path", async () => {
    for (const headers of [{ Host: "evil.example" }, { Origin: "http://evil.example" }]) {
      for (const path of ["/", "/page/main.js", "/api/about"]) {
        const response = await get(path, headers);
        expect([path, response.status]).deep.equal([path, 403]);
        expect(await response.json()).nested.property("failure.code", "ERR_FORBIDDEN");
      }
      expect((await post(app, "/api/scan", {}, headers)).status).equal(403);
    }
  });

  it("refuses bodies of other types, and too large ones", async () => {
    expect((await post(app, "/api/scan", "{}", { "Content-Type": "text/plain" })).status).equal(415);
    expect((await post(app, "/api/memory", { text: "x".repeat(70_000) })).status).equal(413);
  });

  it("serves its files with headers that keep strangers' content out, and no others", async () => {
    for (const [path, type] of [
      ["/", "text/html"],
      ["/style.css", "text/css"],
      ["/icon.svg", "image/svg"],
      ["/page/main.js", "text/javascript"],
      ["/page/panels/hippo.js", "text/javascript"],
      ["/uplot.js", "text/javascript"],
      ["/uplot.css", "text/css"],
      ["/theory/1-discretization.md", "text/plain"],
      ["/theory/figures/hippo.svg", "image/svg"],
    ] as const) {
      const response = await get(path);
      expect([path, response.status]).deep.equal([path, 200]);
      expect(response.headers.get("content-type")).match(new RegExp(`^${type}`));
      expect(response.headers.get("content-security-policy")).match(/default-src 'none'/);
      expect(response.headers.get("x-content-type-options")).equal("nosniff");
      expect((await response.text()).length).above(100);
    }
    for (const path of [
      "/package.json",
      "/page/main.js.map",
      "/page/../server.js",
      "/theory/..%2f..%2fpackage.json",
      "/api/x",
    ]) {
      expect([path, (await get(path)).status]).deep.equal([path, 404]);
    }
    expect(await (await get("/")).text()).not.match(/https?:\/\//);
  });

  it("listens on a free port, answers there, and closes with connections open", async () => {
    const running = await startExplorer({ port: 0 });
    expect(running.url).match(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect((await fetch(`${running.url}api/about`)).status).equal(200);
    await running.close();
    expect(await fetch(running.url).catch((error: Error) => error.name)).equal("TypeError");
  });

  it("says what is wrong with a port that is taken and a host that is not here", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as { port: number };
    const refused = async (options: { port: number; host?: string }): Promise<{ code: string; details: object }> =>
      startExplorer(options).then(
        () => expect.fail("it listens"),
        (error) => error,
      );
    expect(await refused({ port })).deep.include({ code: "ERR_PORT" });
    expect((await refused({ port })).details).include({ argument: "port", port });
    expect((await refused({ port: 0, host: "192.0.2.1" })).details).include({ argument: "host", host: "192.0.2.1" });
    taken.close();
  });

  it("the command prints the address, answers, and ends with 0 at Ctrl-C", async () => {
    const folder = mkdtempSync(join(tmpdir(), "statespace-explore-"));
    const model = smallModel();
    await model.save(join(folder, "model"));
    model.dispose();
    const start = (args: string[]) =>
      spawn(process.execPath, [program, "explore", ...args], {
        cwd: folder,
        env: { ...process.env, STATESPACE_DEVICE: "cpu" },
      });
    const child = start(["--model", "model", "--no-open"]);
    const url = await new Promise<string>((resolve) => child.stdout.setEncoding("utf8").once("data", resolve));
    const about = (await (await fetch(`${url.trim()}api/about`)).json()) as { model: object };
    expect(about.model).include({ folder: "model", layers: 2 });
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGINT");
    expect(await ended).equal(0);

    const wrong = start(["--model", "nowhere"]);
    let stderr = "";
    wrong.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    expect(await new Promise((resolve) => wrong.once("close", resolve))).equal(1);
    expect(stderr).match(/^ERR_IO: .*nowhere/);
    rmSync(folder, { recursive: true });
  });
});
