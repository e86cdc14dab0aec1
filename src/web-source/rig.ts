/** What a page is shown and heard on: a display, a sound server, and the way out. */
import type { Logger } from 'pino';
import type { AddressPolicy, ForwardProxy } from '../outbound/index.ts';
import { startForwardProxy } from '../outbound/index.ts';
import { startScreen } from './screen.ts';
import type { Screen } from './screen.ts';
import { SOUND_DEVICE, startSound } from './sound.ts';
import type { Sound } from './sound.ts';
import { findIsolation } from './tools.ts';
import { Workspace } from './workspace.ts';

/** Where a pipeline finds the page's picture and sound. */
export interface Surface {
  /** X display, e.g. `:7`, and the authority file that opens it. */
  readonly display: string;
  readonly xauthority: string;
  /** Undefined: the page is not heard. */
  readonly sound: { readonly server: string; readonly device: string } | undefined;
}

export interface RigOptions {
  size: { width: number; height: number };
  /** False: the page is not heard. */
  sound: boolean;
  policy: AddressPolicy;
  /** `host:port` that may be reached whatever the policy says. */
  trusted: readonly string[];
  logger: Logger;
}

export class Rig {
  readonly workspace: Workspace;
  readonly screen: Screen;
  readonly sound: Sound | undefined;
  readonly proxy: ForwardProxy;
  readonly #logger: Logger;

  /** @throws PageError when something of it does not come up; nothing is left then */
  static async start({ size, sound, policy, trusted, logger }: RigOptions): Promise<Rig> {
    const workspace = await Workspace.make(findIsolation(logger).account);
    const started = await Promise.allSettled([
      startScreen(workspace, size, logger),
      sound ? startSound(workspace, logger) : undefined,
      startForwardProxy({ policy, trusted, logger: logger.child({ component: 'outbound' }) }),
    ]);
    const [screen, heard, proxy] = started;
    if (screen.status === 'fulfilled' && heard.status === 'fulfilled' && proxy.status === 'fulfilled')
      return new Rig(workspace, screen.value, heard.value, proxy.value, logger);
    if (screen.status === 'fulfilled') await screen.value.tool.end();
    if (heard.status === 'fulfilled') await heard.value?.tool.end();
    if (proxy.status === 'fulfilled') await proxy.value.close();
    await workspace.remove(logger);
    throw started.find((each) => each.status === 'rejected')?.reason;
  }

  private constructor(
    workspace: Workspace,
    screen: Screen,
    sound: Sound | undefined,
    proxy: ForwardProxy,
    logger: Logger,
  ) {
    this.workspace = workspace;
    this.screen = screen;
    this.sound = sound;
    this.proxy = proxy;
    this.#logger = logger;
  }

  get surface(): Surface {
    return {
      display: this.screen.display,
      xauthority: this.workspace.xauthority,
      sound: this.sound && { server: this.sound.server, device: SOUND_DEVICE },
    };
  }

  get running(): boolean {
    return this.screen.tool.running && (this.sound?.tool.running ?? true);
  }

  /** Calls back, perhaps more than once, when a part of it is gone without having been asked. */
  onLost(listener: (reason: string) => void): void {
    this.screen.tool.onLost(({ reason }) => listener(`the display is gone: ${reason}`));
    this.sound?.tool.onLost(({ reason }) => listener(`the sound server is gone: ${reason}`));
  }

  get pids(): number[] {
    return [this.screen.tool.pid, this.sound?.tool.pid].filter((pid) => pid !== undefined);
  }

  async close(): Promise<void> {
    await Promise.all([this.screen.tool.end(), this.sound?.tool.end(), this.proxy.close()]);
    await this.workspace.remove(this.#logger);
  }
}
