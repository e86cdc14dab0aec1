/** Every fuzzer there is. */
import { amfFuzzer } from './amf.ts';
import { bridgeFuzzer } from './bridge.ts';
import { chunksFuzzer } from './chunks.ts';
import { configFuzzer } from './config.ts';
import type { Fuzzer } from './fuzzer.ts';
import { linesFuzzer } from './lines.ts';
import { patchFuzzer } from './patch.ts';
import { playlistsFuzzer } from './playlists.ts';
import { rtmpFuzzer } from './rtmp.ts';
import { sdpFuzzer } from './sdp.ts';
import { sourcesFuzzer } from './sources.ts';
import { twirpFuzzer } from './twirp.ts';

export const FUZZERS: readonly Fuzzer[] = [
  amfFuzzer,
  bridgeFuzzer,
  chunksFuzzer,
  configFuzzer,
  linesFuzzer,
  patchFuzzer,
  playlistsFuzzer,
  rtmpFuzzer,
  sdpFuzzer,
  sourcesFuzzer,
  twirpFuzzer,
];
