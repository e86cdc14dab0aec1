/** What a browser says over the pipe, and what no browser says. */
import { PassThrough } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { DevTools, anything } from '../../src/web-source/devtools.ts';

function connected() {
  const [commands, events] = [new PassThrough(), new PassThrough()];
  const onEvent = vi.fn();
  const onBroken = vi.fn();
  const devtools = new DevTools(commands, events, { onEvent, onBroken });
  const say = (text: string | Buffer) => void events.emit('data', Buffer.from(text));
  return { devtools, say, onEvent, onBroken };
}

const EVENT = '{"method":"Page.loadEventFired"}\0';
const MIB = Buffer.alloc(1024 * 1024, 'x');

describe('a browser', () => {
  it('is heard and answered, however its words are cut', async () => {
    const { devtools, say, onEvent, onBroken } = connected();
    const answer = devtools.send('Page.enable', {}, anything);
    for (const part of [EVENT.slice(0, 9), `${EVENT.slice(9)}{"id":1,"result":`, '{"a":1}}\0']) say(part);
    expect(await answer).toEqual({ a: 1 });
    expect(onEvent).toHaveBeenCalledExactlyOnceWith({ method: 'Page.loadEventFired' });
    expect(onBroken).not.toHaveBeenCalled();
  });

  it.each([
    ['the browser said more than can be kept', () => Array.from({ length: 65 }, () => MIB)],
    ['the browser did not speak JSON', () => ['hello\0']],
  ])('is done with once %s', async (reason, words) => {
    const { devtools, say, onEvent, onBroken } = connected();
    const answer = devtools.send('Page.enable', {}, anything).catch((error: unknown) => String(error));
    for (const part of [...words(), `\0${EVENT}`, EVENT, ...words()]) say(part);
    expect(await answer).toBe(`DevToolsError: Page.enable: ${reason}`);
    expect([onBroken.mock.calls, onEvent.mock.calls]).toEqual([[[reason]], []]);
    await expect(devtools.send('Page.enable', {}, anything)).rejects.toThrow(reason);
  });
});
