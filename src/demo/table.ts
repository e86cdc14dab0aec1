/** Plain-text output of the demo. Pure. */

/** Columns as wide as their widest cell, two spaces apart; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    widths
      .map((width, column) => (row[column] ?? '').padEnd(width))
      .join('  ')
      .trimEnd();
  const [heading = [], ...rest] = rows;
  return [line(heading), widths.map((width) => '─'.repeat(width)).join('  '), ...rest.map(line)].join('\n');
}

/** e.g. `█████░░░░░  10 / 20 s`. */
export function progressBar(done: number, total: number, width = 30): string {
  const filled = Math.round((Math.min(done, total) / total) * width);
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}  ${Math.min(Math.floor(done), total)} / ${total} s`;
}
