/** A second machine: a network namespace, joined to this one by a pair of virtual cables. Needs root. */
import { runTool } from '../../src/demo/content/tool.ts';

export interface SecondMachine {
  /** This machine's address, as the other one reaches it. */
  readonly here: string;
  /** The other machine's own. */
  readonly there: string;
  /** Put in front of a command, it runs there. */
  readonly prefix: readonly string[];
  /** Loses everything between the two, without a word to either: the machine is gone. */
  cut(): Promise<void>;
  close(): Promise<void>;
}

export async function secondMachine(): Promise<SecondMachine> {
  const id = `${process.pid}`.slice(-5);
  const [name, cable, end] = [`sluice-${id}`, `slh${id}`, `sln${id}`];
  const subnet = `10.203.${Number(id) % 256}`;
  const [here, there] = [`${subnet}.1`, `${subnet}.2`];
  const ip = (...args: string[]) => runTool('ip', args);
  const close = async () => {
    await ip('netns', 'delete', name).catch(() => undefined);
    await ip('link', 'delete', cable).catch(() => undefined);
  };
  try {
    await ip('netns', 'add', name);
    await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', end, 'netns', name);
    await ip('address', 'add', `${here}/24`, 'dev', cable);
    await ip('link', 'set', cable, 'up');
    await ip('-n', name, 'address', 'add', `${there}/24`, 'dev', end);
    await ip('-n', name, 'link', 'set', end, 'up');
    await ip('-n', name, 'link', 'set', 'lo', 'up');
    await ip('-n', name, 'route', 'add', 'default', 'via', here);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    here,
    there,
    prefix: ['ip', 'netns', 'exec', name],
    cut: async () => {
      await ip('link', 'set', cable, 'down');
    },
    close,
  };
}
