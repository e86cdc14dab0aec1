/** A tap of raw sound, for what takes samples and no container: s16le, 48 kHz, mono. */

const TEE = 'mixedsound';

/** Stands between mixer and encoder: a branch each, so that none waits for the other. */
export const PCM_TEE = `! tee name=${TEE} ! queue `;

/** Text of the branch. @param sink where its bytes go */
export function pcmTap(sink: string): string {
  const samples = 'audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved';
  return `${TEE}. ! queue ! audioconvert ! audioresample ! ${samples} ! ${sink}`;
}
