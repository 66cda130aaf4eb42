// Layers, as `nn.*`.
export { CausalConv1d, type CausalConv1dLayerOptions } from "./causal_conv1d.ts";
export { Dropout, type DropoutOptions } from "./dropout.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export * as init from "./init.ts";
export { LayerNorm } from "./layer_norm.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Mamba, type MambaOptions, type MambaSizes } from "./mamba.ts";
export { MambaState } from "./mamba_state.ts";
export type { Mixer, MixerState } from "./mixer.ts";
export { type LoadReport, Module } from "./module.ts";
export { type ParameterOptions, parameter, parameterOptions } from "./parameter.ts";
export { type NormOptions, RMSNorm } from "./rms_norm.ts";
export { S4Layer, type S4PassOptions } from "./s4_layer.ts";
export type { S4Activation, S4LayerOptions, S4Mode, S4Parameter } from "./s4_options.ts";
export { S4State } from "./s4_state.ts";
export { S4D, type S4DInit, type S4DOptions } from "./s4d.ts";
