/** The offers of fixtures/sdp, and the capabilities of a room's router. */
import { readdirSync, readFileSync } from 'node:fs';
import { ortc } from 'mediasoup';
import { mediaCodecs } from '../../src/sfu/codecs.ts';

const FOLDER = new URL('../../fixtures/sdp/', import.meta.url);

/** By name, without `.sdp`. */
export const offers: ReadonlyMap<string, string> = new Map(
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.sdp'))
    .map((file) => [file.replace(/\.sdp$/, ''), readFileSync(new URL(file, FOLDER), 'utf8')]),
);

export function offerOf(name: string): string {
  const offer = offers.get(name);
  if (offer === undefined) throw new Error(`fixtures/sdp has no ${name}.sdp`);
  return offer;
}

/** What mediasoup's own code makes of the router's codecs. */
export const capabilities = ortc.generateRouterRtpCapabilities([...mediaCodecs]);
