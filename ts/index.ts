// The public names.
export { checkpoint } from "./autograd/checkpoint.ts";
export {
  type Definition,
  differentiable,
  type InputGradients,
  noGradient,
  type TensorInputs,
  type Wanted,
} from "./autograd/differentiable.ts";
export { noGrad } from "./autograd/mode.ts";

import "./autograd/tape.ts";

export {
  ByteTokenizer,
  CharacterTokenizer,
  type GeneratedPart,
  type GenerateOptions,
  generate,
  type LanguageModel,
  type Tokenizer,
  type TokenizerDescription,
} from "./generate/index.ts";
export {
  filesIn,
  loadTensors,
  type ReadOptions,
  readJsonFile,
  SafeTensorsFile,
  saveTensors,
  type TensorInfo,
  writeFileAtomic,
} from "./io/index.ts";
export {
  type MambaConfig,
  MambaLM,
  type MambaLMOptions,
  MambaLMState,
} from "./models/mamba/index.ts";
export {
  type Pooling,
  type ResolvedSequenceConfig,
  SequenceClassifier,
  type SequenceClassifierConfig,
  type SequenceConfig,
  SequenceModel,
  SequenceNetwork,
  type SequenceOptions,
  SequenceState,
} from "./models/sequence/index.ts";
export type { DType } from "./native/dtype.ts";
export {
  ArgumentError,
  DeviceError,
  DisposedError,
  DTypeError,
  ModelFormatError,
  NumericalError,
  OutOfMemoryError,
  ShapeError,
  StateSpaceError,
} from "./native/errors.ts";
export * as nn from "./nn/index.ts";
export * as ops from "./ops/index.ts";
export * as optim from "./optim/index.ts";
export * as ssm from "./ssm/index.ts";
export * as tasks from "./tasks/index.ts";
export { type Device, type DeviceMemory, type DeviceSpec, device, devices, type Fallback } from "./tensor/device.ts";
export { manualSeed, type RngState, rngState, setRngState } from "./tensor/random.ts";
export { type Recording, record } from "./tensor/recording.ts";
export { type Scope, scope } from "./tensor/scope.ts";
export { type RandomOptions, Tensor, type TensorOptions } from "./tensor/tensor.ts";
export {
  type Batch,
  Dataset,
  type DatasetOptions,
  loadVocabulary,
  type MetricsRow,
  readMetrics,
  type StepResult,
  saveVocabulary,
  type TextOptions,
  TokenFile,
  type TokenFormat,
  type TokenSource,
  type TrainableModel,
  Trainer,
  type TrainerOptions,
  textDataset,
  tokenDataset,
  writeReport,
} from "./train/index.ts";
