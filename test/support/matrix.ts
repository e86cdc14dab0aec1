/** Source × outputs × codec: which combinations there are, and a few of them that hold every pair. Pure. */

export const SOURCES = ['room', 'tracks', 'participant', 'media', 'track'] as const;
/** What one egress makes at once. */
export const OUTPUTS = ['mp4+hls+rtmp+images', 'fmp4+srt', 'webm', 'ogg', 'mp3', 'own', 'websocket'] as const;
/** What is published: its picture with Opus, or H.264 with PCMU. */
export const CODECS = ['h264', 'vp8', 'vp9', 'pcmu'] as const;

export interface Combination {
  source: (typeof SOURCES)[number];
  outputs: (typeof OUTPUTS)[number];
  codec: (typeof CODECS)[number];
}

/** Whether LiveKit's API can ask for it: a track goes into its own kind of file or a WebSocket, nothing else does. */
function exists({ source, outputs }: Combination): boolean {
  const ofTracks = outputs === 'own' || outputs === 'websocket';
  if ((source === 'track') !== ofTracks) return false;
  // A participant is both picture and sound.
  return !(source === 'participant' && (outputs === 'ogg' || outputs === 'mp3'));
}

export function everyCombination(): Combination[] {
  return SOURCES.flatMap((source) =>
    OUTPUTS.flatMap((outputs) => CODECS.map((codec) => ({ source, outputs, codec }))),
  ).filter(exists);
}

function pairsOf({ source, outputs, codec }: Combination): string[] {
  return [`${source} ${outputs}`, `${source} ${codec}`, `${outputs} ${codec}`];
}

/** Greedy: always the combination that holds most pairs that none has held so far. */
export function pairwise(all: readonly Combination[]): Combination[] {
  const open = new Set(all.flatMap(pairsOf));
  const chosen: Combination[] = [];
  const gain = (combination: Combination): number =>
    pairsOf(combination).filter((pair) => open.has(pair)).length;
  while (open.size > 0) {
    const best = all.reduce((left, right) => (gain(right) > gain(left) ? right : left));
    for (const pair of pairsOf(best)) open.delete(pair);
    chosen.push(best);
  }
  return chosen;
}

export const nameOf = ({ source, outputs, codec }: Combination): string => `${source}, ${codec} → ${outputs}`;
