// Random numbers of the generators: a stream for each sequence, so that a sequence is the same in a batch of any size.
import { hash32 } from "../train/shuffle.ts";

/** xoshiro128** (Blackman & Vigna 2018), started from a hash of a few integers. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** The same integers give the same stream. */
  constructor(...key: readonly number[]) {
    [this.#a, this.#b, this.#c] = [hash32(...key, 1), hash32(...key, 2), hash32(...key, 3)];
    // A state of zeros would stay there.
    this.#d = hash32(...key, 4) || 1;
  }

  /** 32 random bits. */
  bits(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** In (low, high), never an end. */
  uniform(low = 0, high = 1): number {
    return low + ((high - low) * (this.bits() + 0.5)) / 2 ** 32;
  }

  /** One of 0 .. count - 1, each equally likely; count up to 2^32. */
  integer(count: number): number {
    const most = 2 ** 32 - (2 ** 32 % count);
    for (;;) {
      const drawn = this.bits();
      if (drawn < most) return drawn % count;
    }
  }

  /** Normal of mean 0 and standard deviation 1, by the method of Box and Muller. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** `count` of 0 .. from - 1 without replacement, in order (Floyd's algorithm). */
  choose(count: number, from: number): number[] {
    const chosen = new Set<number>();
    for (let last = from - count; last < from; last++) {
      const drawn = this.integer(last + 1);
      chosen.add(chosen.has(drawn) ? last : drawn);
    }
    return [...chosen].sort((x, y) => x - y);
  }

  /** 0 .. count - 1 in random order (Fisher and Yates). */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const moved = order[i] as number;
      order[i] = order[j] as number;
      order[j] = moved;
    }
    return order;
  }
}
