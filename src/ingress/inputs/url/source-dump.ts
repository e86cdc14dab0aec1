/** What FFmpeg says of its input when it has looked into it (`Input #0 … Stream #0:0 …`). Pure. */

export interface SourceDump {
  /** Streams were listed: FFmpeg has understood the source. */
  readonly known: boolean;
  /** FFmpeg's name, e.g. `aac`; undefined without sound. */
  readonly audio: { codec: string; /** bit/s; 0 when unknown. */ bitrate: number } | undefined;
  /** Clockwise. */
  readonly rotation: 0 | 90 | 180 | 270;
}

export class SourceDumpReader implements SourceDump {
  known = false;
  audio: SourceDump['audio'];
  rotation: SourceDump['rotation'] = 0;
  #part: 'before' | 'input' | 'after' = 'before';
  #stream: 'video' | 'other' | undefined;
  #videos = 0;

  /** One line that FFmpeg wrote. */
  read(line: string): void {
    if (line.startsWith('Input #0')) this.#part = 'input';
    else if (/^(Output #|Stream mapping:)/.test(line)) this.#part = 'after';
    if (this.#part !== 'input') return;
    const stream = /^\s*Stream #0:\d+\S*: (Video|Audio|\w+): (\w+)/.exec(line);
    if (stream) this.#enter(stream[1] ?? '', stream[2] ?? '', line);
    const turned = /displaymatrix: rotation of (-?[\d.]+) degrees/.exec(line)?.[1];
    if (turned !== undefined && this.#stream === 'video') this.rotation = clockwise(Number(turned));
  }

  #enter(kind: string, codec: string, line: string): void {
    this.known = true;
    this.#stream = 'other';
    if (kind === 'Video' && !line.includes('(attached pic)')) {
      this.#videos += 1;
      if (this.#videos === 1) this.#stream = 'video';
    } else if (kind === 'Audio' && !this.audio) {
      this.audio = { codec, bitrate: Number(/, (\d+) kb\/s/.exec(line)?.[1] ?? 0) * 1000 };
    }
  }
}

/** FFmpeg counts against the clock. */
function clockwise(degrees: number): SourceDump['rotation'] {
  const quarter = ((Math.round(-degrees / 90) % 4) + 4) % 4;
  return quarter === 1 ? 90 : quarter === 2 ? 180 : quarter === 3 ? 270 : 0;
}
