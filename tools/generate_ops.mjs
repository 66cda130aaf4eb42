// Writes ts/native/ops.generated.ts from the rows of the built addon. `--check` only says whether it is current.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const target = fileURLToPath(new URL("../ts/native/ops.generated.ts", import.meta.url));
const { rows } = require(process.env.STATESPACE_BINARY ?? "../build/Release/statespace.node");

const types = { tensor: "T", boolean: "boolean", integer: "number", real: "number", dtype: "DType" };

function declaration({ name, fields }) {
  const inputs = fields.filter((f) => f.role !== "out");
  const outputs = fields.filter((f) => f.role === "out");
  const argument = (f) => {
    const optional = f.role === "maybe";
    return `${f.name}${optional ? "?" : ""}: ${types[f.type]}${optional ? " | null | undefined" : ""}`;
  };
  const doc = fields.map(
    (f) => `   * - ${f.name}${f.role === "out" ? " (result)" : ""}: ${f.text}${f.dtype ? `, ${f.dtype}` : ""}`,
  );
  return [
    "  /**",
    ...doc,
    "   */",
    `  ${name}(`,
    `    args: { ${inputs.map(argument).join("; ")} },`,
    outputs.length ? `    into?: { ${outputs.map((f) => `${f.name}?: T | undefined`).join("; ")} },` : "",
    `  ): { ${outputs.map((f) => `${f.name}: T${f.always ? "" : " | null"}`).join("; ")} };`,
  ]
    .filter((line) => line !== "")
    .join("\n");
}

const text = `// Generated from the rows of cpp/ops by tools/generate_ops.mjs: do not edit.
import type { DType } from "./dtype.ts";

/** Every kernel: arguments and results by name, with the shapes of its row. T is a tensor. */
export interface Kernels<T> {
${rows.map(declaration).join("\n")}
}

export const kernelNames: readonly (keyof Kernels<unknown>)[] = [
${rows.map((row) => `  "${row.name}",`).join("\n")}
];
`;

if (process.argv.includes("--check")) {
  const current = readFileSync(target, "utf8") === text;
  if (!current) console.error("ts/native/ops.generated.ts is out of date: run npm run generate");
  process.exit(current ? 0 : 1);
}
writeFileSync(target, text);
