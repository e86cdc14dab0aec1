/** A web server for tests: nginx that serves a folder and answers some paths with redirects. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './ports.ts';

export interface WebOptions {
  /** What is served. */
  root: string;
  /** Path -> where it redirects to. */
  redirects?: Readonly<Record<string, string>>;
  /** PEM files: speaks https. */
  tls?: { cert: string; key: string };
  /** Asks for this user and password below `/private/`, by HTTP Basic. */
  user?: string;
  password?: string;
}

export interface Web {
  readonly port: number;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Lines `METHOD path status` of what was asked. */
  requests(): Promise<string[]>;
  stop(): Promise<void>;
}

export async function startWeb({ root, redirects = {}, tls, user, password }: WebOptions): Promise<Web> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-web-'));
  const port = await freePort();
  await mkdir(join(folder, 'logs'));
  if (user !== undefined) await writeFile(join(folder, 'users'), `${user}:{PLAIN}${password ?? ''}\n`);
  await writeFile(
    join(folder, 'nginx.conf'),
    `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/logs/error.log;
events { worker_connections 64; }
http {
  types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4; }
  log_format asked '$request_method $request_uri $status';
  access_log ${folder}/logs/asked.log asked;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port}${tls ? ' ssl' : ''};
    ${tls ? `ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key};` : ''}
    root ${root};
    ${Object.entries(redirects)
      .map(([path, to]) => `location = ${path} { return 302 ${to}; }`)
      .join('\n    ')}
    ${user === undefined ? '' : `location /private/ { alias ${root}/; auth_basic private; auth_basic_user_file ${folder}/users; }`}
  }
}
`,
  );
  const child = spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-e', join(folder, 'logs', 'start.log')], {
    stdio: 'ignore',
  });
  const web: Web = {
    port,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    async requests() {
      return (await readFile(join(folder, 'logs', 'asked.log'), 'utf8'))
        .split('\n')
        .filter((line) => line !== '');
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
  for (let attempt = 0; !(await answers(port)); attempt += 1) {
    if (attempt > 100 || child.exitCode !== null) {
      await web.stop();
      throw new Error('nginx did not start');
    }
    await sleep(50);
  }
  return web;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
