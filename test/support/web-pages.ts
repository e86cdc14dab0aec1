/** Pages to be recorded, and the web server that has them. */
import { execFileSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export interface WebPages {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** `host:port` */
  readonly host: string;
  /** Paths with their queries, in the order they were asked for. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** By path; those of the marked page and the template are there already. */
export type PageHandlers = Readonly<
  Record<string, (request: IncomingMessage, response: ServerResponse) => void>
>;

async function bundled(name: string): Promise<string> {
  const entry = fileURLToPath(new URL(`../page/${name}.ts`, import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false });
  const style = 'html,body{margin:0;height:100%;overflow:hidden;background:#000}canvas,video{display:block}';
  return `<!doctype html><style>${style}</style><body><script type="module">${outputFiles[0]?.text ?? ''}</script>`;
}

/** Serves `/marked` (test/page/marked-screen.ts), `/template` (test/page/template.ts) and what `handlers` add. */
export async function startWebPages(handlers: PageHandlers = {}): Promise<WebPages> {
  const pages = new Map([
    ['/marked', await bundled('marked-screen')],
    ['/template', await bundled('template')],
  ]);
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    requests.push(path);
    const { pathname } = new URL(path, 'http://page');
    const page = pages.get(pathname);
    const handler = handlers[pathname];
    if (handler) handler(request, response);
    else if (page === undefined) response.writeHead(404).end('there is no such page');
    else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    requests,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Processes and folders of pages that these workers have recorded, and that should be gone. */
export function leftOfPages(workers: readonly { child: ChildProcess }[]): string[] {
  const ours = new RegExp(`sluice-page-(${workers.map(({ child }) => child.pid).join('|')})-`);
  const folders = ['/tmp', tmpdir()].flatMap((place) => readdirSync(place));
  const lines = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n');
  return [...folders, ...lines].filter((each) => ours.test(each));
}
