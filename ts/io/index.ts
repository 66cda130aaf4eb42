// Files: tensors, JSON, and writing that never leaves half a file.
export { type AtomicFile, writeFileAtomic } from "./atomic.ts";
export { filesIn } from "./folder.ts";
export { readJsonFile } from "./json.ts";
export { loadTensors, type ReadOptions, SafeTensorsFile, saveTensors } from "./safetensors.ts";
export type { SafeTensorsHeader, TensorInfo } from "./safetensors_header.ts";
