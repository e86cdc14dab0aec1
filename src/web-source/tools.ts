/** Starts the programs a page needs: confined, as an account that owns nothing, and never left behind. */
import { spawnSync } from 'node:child_process';
import type { StdioOptions } from 'node:child_process';
import type { Logger } from 'pino';
import { childEnvironment } from '../child-environment.ts';
import { SupervisedChild } from '../pipeline/child.ts';
import type { ChildExit } from '../pipeline/child.ts';
import { confine, findConfiners } from '../pipeline/confine.ts';
import type { Account, Workspace } from './workspace.ts';

const GIB = 1024 ** 3;
/** One process's; a browser has several, and a page with large pictures takes a gigabyte or two. */
const LIMITS = { memoryBytes: 8 * GIB, files: 8192 } as const;
/** `nobody` and `nogroup`, on every Debian. */
const NOBODY: Account = { uid: 65534, gid: 65534 };
const PROBE_MS = 2000;
/** An address nobody listens on. */
const NO_BUS = 'unix:path=/dev/null';

/** What this machine lets a page's processes have. */
export interface Isolation {
  /** Undefined: they run as we do, because we are nobody special, or may not change it. */
  account: Account | undefined;
  /** The browser's own sandbox works: it needs user namespaces. */
  sandbox: boolean;
}

let isolation: Isolation | undefined;

/** Looked for once in a process's life; what is missing is logged. */
export function findIsolation(logger: Logger): Isolation {
  if (isolation) return isolation;
  const drop = dropTo(NOBODY);
  const root = process.getuid?.() === 0;
  const account = root && succeeds([...drop, 'true']) ? NOBODY : undefined;
  // As root the browser has no sandbox, whatever else the machine permits.
  const sandbox =
    (!root || account !== undefined) &&
    succeeds([...(account ? drop : []), 'unshare', '--user', '--map-root-user', 'true']);
  isolation = { account, sandbox };
  if (!sandbox) {
    logger.warn(
      { root, account: account?.uid },
      'pages are drawn without the browser’s sandbox: user namespaces are not permitted here',
    );
  }
  return isolation;
}

function dropTo({ uid, gid }: Account): string[] {
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--'];
}

function succeeds([command = '', ...args]: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: PROBE_MS }).status === 0;
}

export interface ToolOptions {
  command: readonly string[];
  stdio: StdioOptions;
  workspace: Workspace;
  env?: Readonly<Record<string, string>>;
  logger: Logger;
}

/** A program and everything it starts. */
export class Tool {
  readonly child: SupervisedChild;
  #wanted = true;

  constructor({ command, stdio, workspace, env = {}, logger }: ToolOptions) {
    const { account } = findIsolation(logger);
    const confiners = findConfiners(logger);
    // The promise of setpriv would not outlive a change of the account: that comes first.
    const [first, args] = confine(command, { ...LIMITS, network: true, endsWithUs: true }, confiners);
    const [program = first, ...rest] = [...(account ? dropTo(account) : []), first, ...args];
    this.child = new SupervisedChild({
      command: program,
      args: rest,
      stdio,
      env: childEnvironment(
        Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name))),
        {
          HOME: workspace.path,
          TMPDIR: workspace.path,
          XDG_RUNTIME_DIR: workspace.path,
          XDG_CONFIG_HOME: workspace.path,
          XDG_CACHE_HOME: workspace.path,
          // Nobody's bus: neither the browser nor the sound server is to find the machine's own.
          DBUS_SESSION_BUS_ADDRESS: NO_BUS,
          DBUS_SYSTEM_BUS_ADDRESS: NO_BUS,
          ...env,
        },
      ),
      logger,
    });
    // What it has started goes with it, however it ended: a group has the id of its first process.
    void this.child.exited.then(() => this.#endGroup());
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.running;
  }

  /** Calls back when it is gone without having been asked. */
  onLost(listener: (exit: ChildExit) => void): void {
    void this.child.exited.then((exit) => {
      if (this.#wanted) listener(exit);
    });
  }

  /** Ends it and what it has started: asks, then insists. */
  async end(): Promise<void> {
    this.#wanted = false;
    await this.child.terminate('not needed any more');
  }

  #endGroup(): void {
    if (this.pid === undefined) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
  }
}

/** Variables that would lead a page's processes to what is ours or the machine's. */
const OURS = /^(DISPLAY|WAYLAND_DISPLAY|XDG_.*|LD_PRELOAD)$/;
