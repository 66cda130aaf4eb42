// Training: data, the loop, and what a run leaves behind.

export { loadVocabulary, saveVocabulary } from "../generate/vocabulary.ts";
export {
  type Batch,
  type DataFingerprint,
  Dataset,
  type DatasetOptions,
  type TextOptions,
  textDataset,
  tokenDataset,
} from "./data.ts";
export { evaluate } from "./evaluate.ts";
export { type MetricsRow, readMetrics } from "./metrics.ts";
export type { Precision, TrainableModel, TrainerOptions } from "./options.ts";
export { writeReport } from "./report.ts";
export { TokenArray, TokenFile, type TokenFormat, type TokenSource } from "./tokens.ts";
export { type StepResult, Trainer } from "./trainer.ts";
