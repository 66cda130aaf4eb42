// Sequence models with any mixer: an output at every step, or one of a whole sequence.
export type { Pooling, ResolvedSequenceConfig, SequenceClassifierConfig, SequenceConfig } from "./config.ts";
export { SequenceNetwork, type SequenceOptions } from "./network.ts";
export { SequenceClassifier } from "./sequence_classifier.ts";
export { SequenceModel } from "./sequence_model.ts";
export { SequenceState } from "./state.ts";
