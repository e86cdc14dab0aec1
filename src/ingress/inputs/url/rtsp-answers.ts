/** What a camera sends on its RTSP connection, on its way to FFmpeg. Pure. */
import { RtspFraming, RtspRefusal } from './rtsp-framing.ts';

export { RtspRefusal } from './rtsp-framing.ts';

/**
 * Takes the camera's bytes as they come and gives on what FFmpeg may see: redirects are refused, and media over UDP
 * comes from, and is answered to, no other address than the camera's.
 */
export class RtspAnswers {
  readonly #address: string;
  readonly #answered: (head: string) => string | undefined;
  readonly #framing = new RtspFraming('the camera', (head) => this.#checked(head));

  /**
   * @param address the camera's, as it was checked
   * @param answered what FFmpeg is to be told instead; undefined: nothing, it was asked on FFmpeg's behalf
   */
  constructor(address: string, answered: (head: string) => string | undefined = (head) => head) {
    this.#address = address;
    this.#answered = answered;
  }

  /** @throws RtspRefusal */
  push(bytes: Buffer): Buffer[] {
    return this.#framing.push(bytes);
  }

  #checked(head: string): string | undefined {
    const status = /^\s*RTSP\/\d\.\d\s+(\d{3})/.exec(head)?.[1];
    if (status?.startsWith('3')) {
      throw new RtspRefusal(`the camera redirects (${status}): pull from where it leads to instead`);
    }
    const answer = this.#answered(head);
    return answer?.replace(/^(Transport:[ \t]*)(.*)$/gim, (_whole, name: string, value: string) => {
      const parts = value.split(';').filter((part) => !/^\s*source=/i.test(part));
      return `${name}${[...parts, `source=${this.#address}`].join(';')}`;
    });
  }
}
