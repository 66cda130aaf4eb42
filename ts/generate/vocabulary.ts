// The vocabulary of a model, in a file beside its weights.
import { writeFileAtomic } from "../io/atomic.ts";
import { filesIn, pathIn } from "../io/folder.ts";
import { readJsonFile } from "../io/json.ts";
import { type Tokenizer, type TokenizerDescription, tokenizerFrom } from "./tokenizer.ts";

const fileName = "vocabulary.json";

/** Writes vocabulary.json where the tokenizer can be written down. */
export async function saveVocabulary(folder: string, tokenizer: Tokenizer | null | undefined): Promise<void> {
  if (!tokenizer || !("toJSON" in tokenizer)) return;
  await writeFileAtomic(pathIn(folder, fileName), `${JSON.stringify(tokenizer)}\n`);
}

/** The tokenizer of a folder's vocabulary.json, or undefined where there is none. */
export async function loadVocabulary(folder: string): Promise<Tokenizer | undefined> {
  if (!(await filesIn(folder)).includes(fileName)) return undefined;
  return tokenizerFrom((await readJsonFile(pathIn(folder, fileName))) as unknown as TokenizerDescription);
}
