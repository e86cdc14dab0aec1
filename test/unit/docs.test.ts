/** What the documents name is there. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = new URL('../../', import.meta.url);

async function documents(): Promise<[string, string][]> {
  const names = (await readdir(new URL('docs/', ROOT))).filter((name) => name.endsWith('.md'));
  const paths = ['README.md', ...names.map((name) => `docs/${name}`)];
  return Promise.all(
    paths.map(async (path): Promise<[string, string]> => [path, await readFile(new URL(path, ROOT), 'utf8')]),
  );
}

test('tests that are named as proof exist', async () => {
  const named: string[] = [];
  for (const [path, text] of await documents())
    for (const [, kind, name] of text.matchAll(
      /`(?:test\/)?(unit|integration|e2e)\/([\w-]+)(?:\.test\.ts)?`/g,
    )) {
      const file = `test/${kind}/${name}.test.ts`;
      named.push(file);
      expect(existsSync(new URL(file, ROOT)), `${path} names ${file}`).toBe(true);
    }
  expect(named.length).toBeGreaterThan(30);
});

test('links between documents lead somewhere', async () => {
  for (const [path, text] of await documents())
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)) {
      const url = new URL(target!, new URL(path, ROOT));
      expect(existsSync(fileURLToPath(url)), `${path} links to ${target}`).toBe(true);
    }
});
