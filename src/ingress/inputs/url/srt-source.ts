/** SRT, called by us or calling us. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { plainHost } from '../../../outbound/index.ts';
import { InputError } from '../types.ts';
import { LIVE_ANALYSIS } from './arguments.ts';
import type { SrtOptions, UrlPlan } from './plan.ts';
import type { Source, SourceContext } from './source.ts';
import { SrtGate } from './srt-gate.ts';

const SILENCE_MS = 5000;
/** FFmpeg's own patience is longer, so that our reason is told. */
const SOCKET_MS = 8000;

/** @throws GuardError; InputError when the port to listen at cannot be had */
export async function openSrtSource(
  plan: UrlPlan & { kind: 'srt' },
  context: SourceContext,
): Promise<Source> {
  const { srt } = plan;
  const gate = srt.mode === 'listener' ? await openGate(plan, context) : undefined;
  const address = gate ? undefined : await context.guard.resolve(plan.url.hostname);
  const host = address !== undefined && isIP(address) === 6 ? `[${address}]` : address;
  return {
    options: [
      // MPEG-TS is what SRT carries. Without waiting for more programs, its streams are known 1.5 s sooner.
      ...['-protocol_whitelist', 'srt', '-f', 'mpegts', '-scan_all_pmts', '0'],
      ...['-timeout', String(SOCKET_MS * 1000)],
      ...LIVE_ANALYSIS,
      ...srtArguments(srt),
    ],
    url: gate
      ? `srt://127.0.0.1:${gate.target}?mode=listener`
      : `srt://${host ?? ''}:${plan.port}?mode=caller`,
    secrets: [srt.passphrase ?? '', srt.streamId ?? ''],
    // MPEG-TS brings sound in bursts (FFmpeg's: 170 ms): sent on as it comes, nobody could say when it was captured.
    pacing: 'timestamps',
    ...(gate ? { called: gate.gate.taken } : {}),
    silenceMs: () => SILENCE_MS,
    failure() {
      const refusal = gate?.gate.refusal;
      return refusal === undefined ? undefined : new InputError(refusal, { retry: true });
    },
    endOf: () => ({ type: 'lost', reason: 'the sender ended the stream' }),
    close() {
      gate?.gate.close();
      return Promise.resolve();
    },
  };
}

function srtArguments({ mode, passphrase, streamId, latencyMs, keyLength }: SrtOptions): string[] {
  return [
    ...(passphrase === undefined ? [] : ['-passphrase', passphrase]),
    ...(keyLength === undefined ? [] : ['-pbkeylen', String(keyLength)]),
    ...(latencyMs === undefined ? [] : ['-latency', String(latencyMs * 1000)]),
    // The gate checks a caller's streamid; FFmpeg's listener would only be told of it.
    ...(streamId === undefined || mode === 'listener' ? [] : ['-streamid', streamId]),
  ];
}

async function openGate(
  plan: UrlPlan & { kind: 'srt' },
  { logger }: SourceContext,
): Promise<{ gate: SrtGate; target: number }> {
  const target = await freeUdpPort();
  const host = plainHost(plan.url.hostname);
  if (isIP(host) === 0) {
    throw new InputError(
      `an SRT listener needs an address of this machine as host, not ${host}: srt://:${plan.port} listens at all`,
      {
        retry: false,
      },
    );
  }
  const gate = await SrtGate.open({
    ...{ host, port: plan.port, target, logger },
    streamId: plan.srt.streamId,
  });
  return { gate, target };
}

/** FFmpeg cannot be given a socket, nor say which port it chose. */
async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  try {
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return socket.address().port;
  } finally {
    socket.close();
  }
}
