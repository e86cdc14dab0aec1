/** "Did you mean …?" */

/** The candidate nearest to what was written, or undefined when none is near. */
export function nearest(written: string, candidates: readonly string[]): string | undefined {
  const normal = normalise(written);
  const exact = candidates.find((candidate) => normalise(candidate) === normal);
  if (exact !== undefined) return exact;
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(normal.length / 4)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(normal, normalise(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  if (best !== undefined) return best;
  const last = lastSegment(normal);
  const sameEnd = candidates.filter((candidate) => lastSegment(normalise(candidate)) === last);
  return sameEnd.length === 1 ? sameEnd[0] : undefined;
}

/** `http.udpPort`, `http.udp-port` and `HTTP_UDP_PORT` are attempts at the same key. */
function normalise(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase();
}

function lastSegment(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** Levenshtein's distance, two neighbours swapped counting once. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const change = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, at(i - 2, j - 2) + 1);
      }
      row.push(cost);
    }
  }
  return at(a.length, b.length);
}
