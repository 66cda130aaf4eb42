// Layers, as `nn.*`.
export { CausalConv1d, type CausalConv1dLayerOptions } from "./causal_conv1d.ts";
export { Dropout } from "./dropout.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export * as init from "./init.ts";
export { LayerNorm } from "./layer_norm.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Mamba, type MambaOptions, type MambaSizes } from "./mamba.ts";
export { MambaState } from "./mamba_state.ts";
export { type LoadReport, Module } from "./module.ts";
export { type ParameterOptions, parameter, parameterOptions } from "./parameter.ts";
export { type NormOptions, RMSNorm } from "./rms_norm.ts";
