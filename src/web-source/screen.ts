/** An X display that nobody sees: Xvfb. */
import { writeFile, chown, chmod } from 'node:fs/promises';
import type { Logger } from 'pino';
import { PageError } from './errors.ts';
import { Tool, findIsolation } from './tools.ts';
import { displayCookie } from './workspace.ts';
import type { Workspace } from './workspace.ts';

/** Where Xvfb says which display it has taken. */
const DISPLAY_FD = 3;
const READY_MS = 10_000;
/** Chromium makes a window as large as the display one pixel smaller, lest a window manager took it for fullscreen. */
const BORDER = 8;

/** In an authority file: for any host and any display. */
const FAMILY_WILD = 0xffff;
const COOKIE_NAME = 'MIT-MAGIC-COOKIE-1';

export interface Screen {
  /** `:7` */
  readonly display: string;
  readonly tool: Tool;
}

/**
 * A display that a window of this size fits into, at its left upper corner.
 * @throws PageError when Xvfb is missing or does not come up
 */
export async function startScreen(
  workspace: Workspace,
  { width, height }: { width: number; height: number },
  logger: Logger,
): Promise<Screen> {
  await writeFile(workspace.xauthority, authority(displayCookie()), { mode: 0o600 });
  await chmod(workspace.xauthority, 0o600);
  const { account } = findIsolation(logger);
  if (account) await chown(workspace.xauthority, account.uid, account.gid);
  const tool = new Tool({
    command: [
      ...[
        'Xvfb',
        '-displayfd',
        String(DISPLAY_FD),
        '-screen',
        '0',
        `${width + BORDER}x${height + BORDER}x24`,
      ],
      // Reachable by whoever can read the cookie only, and not reset when its first client goes.
      ...['-nolisten', 'tcp', '-auth', workspace.xauthority, '-noreset', '-dpi', '96'],
    ],
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    workspace,
    logger: logger.child({ tool: 'Xvfb' }),
  });
  try {
    return { display: `:${await displayNumber(tool)}`, tool };
  } catch (error) {
    await tool.end();
    throw error;
  }
}

function displayNumber(tool: Tool): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new PageError(`Xvfb did not come up within ${READY_MS / 1000} s`, 'machine')),
      READY_MS,
    );
    let text = '';
    tool.child
      .readable(DISPLAY_FD)
      .setEncoding('utf8')
      .on('data', (data: string) => {
        text += data;
        const [, number] = /^(\d+)\n/.exec(text) ?? [];
        if (number === undefined) return;
        clearTimeout(timer);
        resolve(number);
      });
    void tool.child.exited.then(({ reason }) => {
      clearTimeout(timer);
      reject(new PageError(`the display of a page does not come up: Xvfb: ${reason}`, 'machine'));
    });
  });
}

/** One entry of Xau(3): family, address, number of the display, name, data; each but the first with its length. */
function authority(cookie: Buffer): Buffer {
  const short = (value: number) => {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    return bytes;
  };
  const counted = (data: Buffer) => Buffer.concat([short(data.length), data]);
  return Buffer.concat([
    short(FAMILY_WILD),
    ...[Buffer.alloc(0), Buffer.alloc(0), Buffer.from(COOKIE_NAME), cookie].map(counted),
  ]);
}
