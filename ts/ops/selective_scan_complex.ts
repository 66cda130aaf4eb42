// The selective scan with a complex A, which `selectiveScan` and `selectiveStateUpdate` choose by the shape of A.
import { kernels } from "../tensor/kernels.ts";
import { defineScan, type Scan } from "./selective_scan_op.ts";

interface Attributes {
  deltaSoftplus: boolean;
  checkpointEvery: number;
}

/** @internal h[t] = exp(Delta A) h[t-1] + Delta u B[t], out = (2 Re(C[t] h[t]) + D u) silu(z) */
export const selectiveScanComplex: Scan<Attributes> = defineScan(
  "selectiveScanComplex",
  (args) => kernels.selectiveScanComplexForward(args),
  (args) => kernels.selectiveScanComplexBackward(args),
);
