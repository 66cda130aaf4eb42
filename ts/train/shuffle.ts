// Random order without memory: a keyed permutation of 0..n-1, computed for one position at a time.
// A Feistel network over the next power of four; positions beyond n walk on until they fall inside.

/** A well mixed 32-bit hash of a few integers (murmur3's finaliser). */
export function hash32(...words: readonly number[]): number {
  let h = 0x9e3779b9;
  for (const word of words) {
    // Safe integers count with all their bits.
    for (const part of [word >>> 0, Math.floor(word / 2 ** 32) >>> 0]) {
      h = Math.imul(h ^ part, 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      h ^= h >>> 16;
    }
  }
  return h >>> 0;
}

/** Position `i` of the permutation of 0..n-1 that the seed and the epoch choose; n up to 2^52. */
export function shuffled(i: number, n: number, seed: number, epoch: number): number {
  let half = 1;
  while (4 ** half < n) half++;
  const side = 2 ** half;
  let at = i;
  do {
    let left = Math.floor(at / side);
    let right = at % side;
    for (let round = 0; round < 4; round++) {
      // One of the two is below 2^31, so the sum is exact.
      const next = (left + (hash32(seed, epoch, round, right) % side)) % side;
      left = right;
      right = next;
    }
    at = left * side + right;
  } while (at >= n);
  return at;
}
