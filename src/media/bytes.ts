/** The byte at `at`, 0 behind the end: readers check lengths before they trust what they read. */
export function byte(data: Uint8Array, at: number): number {
  return data[at] ?? 0;
}
