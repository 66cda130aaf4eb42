// What a trained Mamba keeps and forgets of a text.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MambaLM } from "../../models/mamba/model.ts";
import { makeError } from "../../native/errors.ts";
import type { DeviceSpec } from "../../tensor/device.ts";
import { scope } from "../../tensor/scope.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { MemoryResult, PanelValues } from "../page/contract.ts";

/** A trained model that reads text. */
export interface Reader {
  folder: string;
  model: MambaLM;
}

/** How to get a model; the page says so, too. */
export const modelRemedy: string = "Train one with npm start, then run statespace explore --model runs/demo";

/** @throws ModelFormatError, StateSpaceError with code ERR_IO; ERR_ARGUMENT where the model reads no text */
export async function openReader(folder: string, device: DeviceSpec | undefined): Promise<Reader> {
  const model = await MambaLM.fromPretrained(folder, { device });
  if (model.tokenizer) return { folder, model };
  model.dispose();
  throw makeError("ERR_ARGUMENT", `explore: ${folder} has no vocabulary.json, so text cannot be read`, {
    details: { argument: "model", found: folder, needed: "a folder with vocabulary.json" },
  });
}

/** Whether a folder holds a model. */
export async function hasModel(folder: string): Promise<boolean> {
  return stat(join(folder, "config.json")).then(
    () => true,
    () => false,
  );
}

/** The piece of text that each token adds; a character of several bytes belongs to its last token. */
function pieces(tokens: Int32Array, { tokenizer }: MambaLM): string[] {
  const decoder = new TextDecoder();
  return [...tokens].map((token) => {
    const bytes = tokenizer?.bytesOf?.(token);
    return bytes ? decoder.decode(bytes, { stream: true }) : (tokenizer?.decode?.([token]) ?? "");
  });
}

export async function memory(
  { text }: Pick<PanelValues<"memory">, "text">,
  reader: Reader | null,
): Promise<MemoryResult> {
  if (!reader)
    throw makeError("ERR_NO_MODEL", "explore: there is no trained model to look into", { remedy: modelRemedy });
  const { model } = reader;
  if (text.length === 0) {
    throw makeError("ERR_ARGUMENT", "explore: text is empty, expected at least one character", {
      details: { argument: "text", found: "", needed: "at least one character" },
    });
  }
  const ids = Int32Array.from(model.tokenizer!.encode(text));
  return scope.async(async () => {
    const traces = model.trace(Tensor.from(ids, [1, ids.length], { device: model.device }));
    const layers = [];
    for (const { delta, stateNorm, retained } of traces) {
      const inner = delta.shape[2] as number;
      const all = (await delta.data()) as Float32Array;
      const steps = Array.from(ids, (_, t) => all.slice(t * inner, (t + 1) * inner).sort());
      const quantile = (part: number): number[] => steps.map((step) => step[Math.floor(part * (inner - 1))]!);
      layers.push({
        delta: {
          mean: steps.map((step) => step.reduce((sum, x) => sum + x, 0) / inner),
          low: quantile(0.1),
          high: quantile(0.9),
        },
        stateNorm: [...(await stateNorm.data())],
        retained: [...(await retained.data())],
      });
    }
    return { tokens: pieces(ids, model), layers };
  });
}
