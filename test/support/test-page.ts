/** The page of test/page, which offers the studio's clients to tests. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import type { PageApi } from '../page/api.ts';

declare global {
  /** In the page. */
  var sluice: PageApi;
}

const ENTRY = fileURLToPath(new URL('../page/main.ts', import.meta.url));

/** The whole page as HTML. */
export async function testPage(): Promise<string> {
  const bundle = await build({ entryPoints: [ENTRY], bundle: true, format: 'esm', write: false });
  const script = bundle.outputFiles[0]?.text ?? '';
  return `<!doctype html><body><script type="module">${script}</script>`;
}

/** Opens the page as if a server had it that knows nothing of it. */
export async function openTestPage(page: Page, origin: string): Promise<Page> {
  const url = `${origin}/test-page`;
  const body = await testPage();
  await page.route(url, (route) => route.fulfill({ contentType: 'text/html; charset=utf-8', body }));
  await page.goto(url);
  await page.waitForFunction(() => 'sluice' in globalThis);
  return page;
}
