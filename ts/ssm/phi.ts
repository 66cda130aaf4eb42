// The functions of exponential integrators, accurate near 0.
import { integer, refuse } from "../native/check.ts";
import { add, type Complex, complex, divide, exp, expm1, modulus, multiply, subtract, times } from "./complex.ts";

/** Terms of the series that float64 can see for |z| <= 1. */
const terms = 20;

/**
 * phi_k(z) = sum over j of z^j / (k + j)!: phi_0 = e^z, phi_1 = (e^z - 1) / z, phi_2 = (e^z - 1 - z) / z^2, and so on
 * (Hochbruck & Ostermann 2010, eq. 2.10). Relative accuracy holds through z = 0, where the quotients cancel. A number
 * stands for a complex number without imaginary part. Derivative: phi_k' = phi_k - k phi_(k+1).
 *
 * @throws ArgumentError where k is not an integer from 0 to 4 or z is not finite
 */
export function phi(k: number, z: Complex | number): Complex {
  integer("ssm.phi", "k", k, 0, 4);
  const at = typeof z === "number" ? complex(z) : z;
  if (!Number.isFinite(at.re) || !Number.isFinite(at.im)) refuse("ssm.phi", "z", `${at.re} + ${at.im}i`, "finite");
  return phiAt(k, at);
}

/** @internal phi of checked arguments */
export function phiAt(k: number, z: Complex): Complex {
  if (k === 0) return exp(z);
  if (modulus(z) > 1) {
    let value = divide(expm1(z), z);
    let factorial = 1;
    for (let i = 2; i <= k; i++) {
      value = divide(subtract(value, complex(1 / factorial)), z);
      factorial *= i;
    }
    return value;
  }
  // Horner's rule on the series; the innermost term is z / (k + terms).
  let sum = complex(1);
  for (let j = terms; j >= 1; j--) sum = add(complex(1), times(1 / (k + j), multiply(z, sum)));
  let factorial = 1;
  for (let i = 2; i <= k; i++) factorial *= i;
  return times(1 / factorial, sum);
}
