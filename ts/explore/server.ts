// The server of the explorer: the page's files, and an answer for each panel. For one person on one machine.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { type ServerType, serve } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { secureHeaders } from "hono/secure-headers";
import { z } from "zod";
import { makeError, NumericalError, StateSpaceError } from "../native/errors.ts";
import { device } from "../tensor/device.ts";
import { type About, type Failure, type PanelName, type PanelValues, panels, type Results } from "./page/contract.ts";
import type { Field, Fields, Values } from "./page/fields.ts";
import { discretization } from "./panels/discretization.ts";
import { hippo } from "./panels/hippo.ts";
import { kernel } from "./panels/kernel.ts";
import { memory, modelRemedy, type Reader } from "./panels/memory.ts";
import { scan } from "./panels/scan.ts";
import { isTrusted } from "./safety.ts";

// Both ts/explore and dist/explore lie two folders below the package.
const require = createRequire(import.meta.url);
const sources = new URL("../../ts/explore/page/", import.meta.url);
const compiled = new URL("../../dist/explore/page/", import.meta.url);
const theory = new URL("../../docs/theory/", import.meta.url);
const { version } = require("../../package.json") as { version: string };

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".md": "text/plain; charset=utf-8",
};

function schemaOf(field: Field): z.ZodType {
  switch (field.kind) {
    case "number": {
      const range = z.number().min(field.least).max(field.most);
      return field.digits === 0 ? range.int() : range;
    }
    case "choice":
      return z.literal([...field.options]);
    case "numbers":
      return z.array(z.number().min(field.least).max(field.most)).min(2).max(field.count);
    case "text":
      return z.string().max(field.most);
  }
}

function needed(field: Field): string {
  switch (field.kind) {
    case "number":
      return `${field.digits === 0 ? "an integer" : "a number"} from ${field.least} to ${field.most}`;
    case "choice":
      return `one of ${field.options.join("; ")}`;
    case "numbers":
      return `2 to ${field.count} numbers from ${field.least} to ${field.most}`;
    case "text":
      return `a text of at most ${field.most} characters`;
  }
}

/** Values of knobs, each in its range; what is left out is as it starts. */
export function parseValues<F extends Fields>(fields: F, body: unknown): Values<F> {
  const bad = (argument: string, found: unknown, what: string): never => {
    const shown = JSON.stringify(found) ?? "missing";
    const short = shown.length > 80 ? `${shown.slice(0, 77)}...` : shown;
    throw makeError("ERR_ARGUMENT", `explore: ${argument} is ${short}, expected ${what}`, {
      details: { argument, found, needed: what },
    });
  };
  const given = z.record(z.string(), z.unknown()).safeParse(body);
  if (!given.success) return bad("the body", body, "an object of knobs");
  const unknown = Object.keys(given.data).find((name) => !Object.hasOwn(fields, name));
  if (unknown !== undefined) bad(unknown, given.data[unknown], `one of the knobs ${Object.keys(fields).join(", ")}`);
  const entries = Object.entries(fields).map(([name, field]) => {
    const value = given.data[name] ?? field.start;
    return [name, schemaOf(field).safeParse(value).success ? value : bad(name, value, needed(field))];
  });
  return Object.fromEntries(entries) as Values<F>;
}

function failureOf(error: StateSpaceError): Failure {
  const { code, message, remedy, details } = error;
  const { argument, found, needed: what } = details;
  return {
    code,
    message: remedy && message.endsWith(`. ${remedy}`) ? message.slice(0, -remedy.length - 2) : message,
    ...(typeof argument === "string" && { argument, found }),
    ...(typeof what === "string" && { needed: what }),
    ...(remedy && { remedy }),
  };
}

// What the caller can mend by another request.
const callers = new Set(["ERR_ARGUMENT", "ERR_SHAPE"]);

function refused(c: Context, error: unknown): Response {
  if (error instanceof NumericalError) return c.json({ failure: failureOf(error) }, 200);
  if (error instanceof StateSpaceError) {
    const status = error.code === "ERR_NO_MODEL" ? 404 : callers.has(error.code) ? 400 : 500;
    return c.json({ failure: failureOf(error) }, status);
  }
  return c.json({ failure: { code: "ERR_INTERNAL", message: `explore: ${String(error)}` } }, 500);
}

/** What the explorer shows besides the mathematics. */
export interface ExplorerOptions {
  reader?: Reader | null | undefined;
  /** A name by which the server may be reached besides localhost and addresses. */
  host?: string | undefined;
}

/** The application, without a port. */
export function explorer({ reader = null, host }: ExplorerOptions = {}): Hono {
  const html = readFileSync(new URL("index.html", sources), "utf8");
  const importMap = /<script type="importmap">(.*?)<\/script>/s.exec(html)?.[1] ?? "";
  const mapHash = `'sha256-${createHash("sha256").update(importMap).digest("base64")}'`;
  const chapters = readdirSync(theory).filter((name) => name.endsWith(".md"));
  const answers: { [P in PanelName]: (values: PanelValues<P>) => Results[P] | Promise<Results[P]> } = {
    discretization,
    hippo,
    kernel,
    scan,
    memory: (values) => memory(values, reader),
  };

  const app = new Hono();
  app.onError((error, c) => refused(c, error));
  app.notFound((c) => c.json({ failure: { code: "ERR_NOT_FOUND", message: `there is no ${c.req.path}` } }, 404));
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'", mapHash],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    }),
  );
  app.use(async (c, next) => {
    const { host: asked, origin } = c.req.header();
    if (isTrusted(asked, origin, host)) return next();
    const message = `explore: requests by the name ${asked} from ${origin ?? "no page"} are refused`;
    return c.json(
      { failure: { code: "ERR_FORBIDDEN", message, remedy: "Open the address that the program printed" } },
      403,
    );
  });
  app.use(async (c, next) => {
    await next();
    c.header("Cache-Control", "no-store");
  });

  const about: About = {
    version,
    device: String(device()),
    model: reader && {
      folder: reader.folder,
      layers: reader.model.config.nLayer,
      dModel: reader.model.config.dModel,
      parameters: [...reader.model.parameters()].reduce((n, { size }) => n + size, 0),
    },
    remedy: modelRemedy,
    chapters,
  };
  app.get("/api/about", (c) => c.json(about));
  for (const name of Object.keys(panels) as PanelName[]) {
    const answer = answers[name] as (values: unknown) => unknown;
    const limit = bodyLimit({
      maxSize: 1 << 16,
      onError: (c) => c.json({ failure: { code: "ERR_TOO_LARGE", message: "explore: the body is above 64 KiB" } }, 413),
    });
    app.post(`/api/${name}`, limit, async (c) => {
      // Forms of other pages cannot send this type without being asked first.
      if (!/^application\/json\b/.test(c.req.header("content-type") ?? "")) {
        return c.json({ failure: { code: "ERR_TYPE", message: "explore: the body must be application/json" } }, 415);
      }
      const body = await c.req.json().catch(() => "no JSON");
      return c.json({ result: await answer(parseValues(panels[name].fields, body)) });
    });
  }

  const file = (path: URL | string) => async (c: Context) =>
    c.body(await readFile(path), 200, { "Content-Type": types[extname(String(path))] as string });
  app.get("/", file(new URL("index.html", sources)));
  for (const name of ["style.css", "icon.svg"]) app.get(`/${name}`, file(new URL(name, sources)));
  app.get("/uplot.js", file(require.resolve("uplot/dist/uPlot.esm.js")));
  app.get("/uplot.css", file(require.resolve("uplot/dist/uPlot.min.css")));
  for (const name of readdirSync(compiled, { recursive: true, encoding: "utf8" })) {
    if (name.endsWith(".js")) app.get(`/page/${name}`, file(new URL(name, compiled)));
  }
  for (const name of readdirSync(theory, { recursive: true, encoding: "utf8" })) {
    if (/\.(md|svg)$/.test(name)) app.get(`/theory/${name}`, file(new URL(name, theory)));
  }
  return app;
}

/** A server that listens. */
export interface Running {
  /** Where the page is. */
  url: string;
  close(): Promise<void>;
}

/**
 * Serves the explorer; port 0 is a free one.
 *
 * @throws ERR_PORT where the port is taken or the host is not this machine's
 */
export function startExplorer(options: ExplorerOptions & { port: number }): Promise<Running> {
  const { port, host = "127.0.0.1" } = options;
  return new Promise((resolve, reject) => {
    const server: ServerType = serve(
      { fetch: explorer(options).fetch, port, hostname: host },
      ({ port: at }: AddressInfo) => {
        const name = host.includes(":") ? `[${host}]` : host;
        const close = (): Promise<void> =>
          new Promise((done) => {
            server.close(() => done());
            if ("closeAllConnections" in server) server.closeAllConnections();
          });
        resolve({ url: `http://${name}:${at}/`, close });
      },
    );
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(
        makeError("ERR_PORT", `explore: cannot listen on ${host}:${port}: ${cause.message}`, {
          cause,
          details: { argument: cause.code === "EADDRINUSE" ? "port" : "host", host, port },
          remedy: "Leave --port out for a free one",
        }),
      );
    });
  });
}
