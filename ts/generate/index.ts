// Generation: the function, and the tokenizers that need no file.
export type { GenerationState, LanguageModel } from "./decoder.ts";
export { type GeneratedPart, type GenerateOptions, generate } from "./generate.ts";
export { Sampler, type SamplerOptions } from "./sampler.ts";
export { TextStream } from "./text_stream.ts";
export {
  ByteTokenizer,
  CharacterTokenizer,
  type Tokenizer,
  type TokenizerDescription,
  tokenizerFrom,
} from "./tokenizer.ts";
