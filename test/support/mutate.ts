/** Seeded damage to bytes: the same every run. */

/** Numbers in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

/** A copy that is cut, has bits flipped, or both; now and then a stretch is missing or filled. */
export function mutate(bytes: Uint8Array, next: () => number): Buffer {
  const place = (): number => Math.floor(next() * bytes.length);
  let out = Buffer.from(bytes);
  for (let i = Math.floor(next() * 8); i > 0; i--) {
    const at = place();
    out[at] = (out[at] ?? 0) ^ (1 << Math.floor(next() * 8));
  }
  if (next() < 0.1) out.fill(next() < 0.5 ? 0xff : 0, place(), place());
  if (next() < 0.1) {
    const at = place();
    out = Buffer.concat([out.subarray(0, at), out.subarray(at + Math.floor(next() * 400))]);
  }
  return next() < 0.5 ? out.subarray(0, place()) : out;
}
