// An explorer to ask, with a small untrained model to look into.
import { ByteTokenizer, MambaLM, manualSeed } from "statespace";
import type { explorer } from "../../dist/explore/server.js";

export const trustedHeaders: Readonly<Record<string, string>> = {
  Host: "localhost:8000",
  "Content-Type": "application/json",
};

export type App = ReturnType<typeof explorer>;

export function smallModel(): MambaLM {
  manualSeed(3);
  const model = new MambaLM({ vocabSize: 256, dModel: 16, nLayer: 2, dState: 4 });
  model.tokenizer = new ByteTokenizer();
  return model;
}

export async function post(
  app: App,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  // biome-ignore lint/suspicious/noExplicitAny: answers of every kind
): Promise<{ status: number; answer: any }> {
  const response = await app.request(`http://localhost:8000${path}`, {
    method: "POST",
    headers: { ...trustedHeaders, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, answer: await response.json() };
}
