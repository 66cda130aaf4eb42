// The Mamba language model.
export { MambaBlock } from "./block.ts";
export { type CheckpointLayout, layoutOf, type MambaConfig, parseConfig, type ResolvedMambaConfig } from "./config.ts";
export { MambaBackbone, MambaLM, type MambaLMOptions } from "./model.ts";
export type { PretrainedOptions } from "./pretrained.ts";
export { MambaLMState } from "./state.ts";
