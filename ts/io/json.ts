// JSON from files that may be wrong.
import { readFile } from "node:fs/promises";
import { fileError, malformed } from "./errors.ts";

/** @internal the first key that an object of a valid JSON text has twice, or that could touch a prototype */
export function suspiciousKey(text: string): { key: string; reason: string } | undefined {
  const colon = /\s*:/y;
  const objects: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") objects.push(new Set());
    else if (character === "[") objects.push(null);
    else if (character === "}" || character === "]") objects.pop();
    if (character !== '"') continue;
    const start = at;
    for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
    const keys = objects.at(-1);
    colon.lastIndex = at + 1;
    if (!keys || !colon.test(text)) continue;
    const key = JSON.parse(text.slice(start, at + 1)) as string;
    if (key === "__proto__") return { key, reason: "is not a name" };
    if (keys.has(key)) return { key, reason: "is there twice" };
    keys.add(key);
  }
  return undefined;
}

/** @internal a JSON object, checked for doubled keys */
export function parseObject(path: string, what: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(path, `${what} is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(
      path,
      `${what} is ${value === null ? "null" : Array.isArray(value) ? "a list" : typeof value}, expected an object`,
    );
  }
  const bad = suspiciousKey(text);
  if (bad) throw malformed(path, `${what}: the key ${JSON.stringify(bad.key)} ${bad.reason}`);
  return value as Record<string, unknown>;
}

/**
 * Reads a file that holds one JSON object.
 *
 * @throws ModelFormatError when it holds something else, StateSpaceError with code ERR_IO when it cannot be read
 */
export async function readJsonFile(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw fileError("read", path, cause);
  }
  return parseObject(path, "the file", text);
}
