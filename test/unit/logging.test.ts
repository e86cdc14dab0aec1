import { describe, expect, it } from 'vitest';
import { createLogger } from '../../src/logging.ts';

function capture() {
  const lines: string[] = [];
  const logger = createLogger(
    { log: { level: 'info', pretty: false } },
    { component: 'test', destination: { write: (line: string) => void lines.push(line) } },
  );
  return { logger, lines, all: () => lines.join('') };
}

describe('createLogger', () => {
  it('writes one JSON line an event, with component, level and ISO time', () => {
    const { logger, lines } = capture();
    logger.child({ egressId: 'EG_1' }).info({ bytes: 3 }, 'chunk closed');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      component: 'test',
      egressId: 'EG_1',
      bytes: 3,
      msg: 'chunk closed',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
    });
  });

  it('keeps secrets out wherever they travel', () => {
    const { logger, all } = capture();
    const hidden = 'TOPSECRETVALUE';
    logger.info({
      secret: hidden,
      s3: { secret: hidden, accessKey: hidden },
      config: { s3: { secret: hidden } },
    });
    logger.info({ keys: { devkey: hidden }, config: { keys: { a: hidden } } });
    logger.info({ url: `rtmp://h/live/${hidden}`, urls: [`srt://h:1?passphrase=${hidden}`] });
    logger.info({ args: ['-i', 'pipe:0', `rtmp://h/live/${hidden}`] });
    logger.warn({ err: new Error(`cannot open rtmp://h/live/${hidden}`) }, `failed: rtmp://h/live/${hidden}`);
    logger.warn(new Error(`cannot open redis://:${hidden}@h/0`));
    logger.warn({ err: new Error(`cannot open redis://:${hidden}@h/0`) });
    expect(all()).not.toContain(hidden);
    expect(all()).toContain('rtmp://h/live/{TOP...LUE}');
  });

  it('keeps the level asked for', () => {
    const { logger, lines } = capture();
    logger.debug('not this');
    expect(lines).toEqual([]);
  });
});
