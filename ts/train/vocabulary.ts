// The vocabulary of a model, in a file beside its weights.
import { access } from "node:fs/promises";
import { join } from "node:path";
import { type Tokenizer, type TokenizerDescription, tokenizerFrom } from "../generate/tokenizer.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJsonFile } from "../io/json.ts";

const fileName = "vocabulary.json";

/** Writes vocabulary.json where the tokenizer can be written down. */
export async function saveVocabulary(folder: string, tokenizer: Tokenizer | undefined): Promise<void> {
  if (!tokenizer || !("toJSON" in tokenizer)) return;
  await writeFileAtomic(join(folder, fileName), `${JSON.stringify(tokenizer)}\n`);
}

/** The tokenizer of a folder's vocabulary.json, or undefined where there is none. */
export async function loadVocabulary(folder: string): Promise<Tokenizer | undefined> {
  const path = join(folder, fileName);
  try {
    await access(path);
  } catch {
    return undefined;
  }
  return tokenizerFrom((await readJsonFile(path)) as unknown as TokenizerDescription);
}
