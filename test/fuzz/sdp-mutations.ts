/** Offers of real clients with small and large damage. The same seed gives the same offers. */
import { offers } from '../support/offers.ts';

export interface Mutation {
  /** Which offer it was, and what was done to it: enough to find it again. */
  description: string;
  sdp: string;
}

/** Mulberry32: 32 bits of state are enough to choose by. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** 0 ≤ n < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  of<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new RangeError('nothing to choose from');
    return value;
  }
}

const NUMBERS = [
  '0',
  '-1',
  '1',
  '127',
  '128',
  '255',
  '65535',
  '65536',
  '4294967295',
  '4294967296',
  '1e9',
  'NaN',
];
const VALUES = [
  '',
  ' ',
  '*',
  'a=b;c',
  '%s%n%x',
  '__proto__',
  'constructor',
  '\u0000\u0001\u007f',
  '\u{1F4F9}\u0301',
  '../../etc/passwd',
  'x'.repeat(300),
  'x'.repeat(20_000),
  'q;~h,f;;',
  '0 1 2 3 4 5 6 7 8 9',
];
const LINES = [
  'a=ice-lite',
  'a=inactive',
  'a=sendrecv',
  'a=setup:passive',
  'a=rtcp-fb:* nack pli',
  'a=simulcast:send 1,2;~3',
  'a=simulcast: send rid=1;2',
  'a=rid:1 send max-width=x;max-height=-5',
  'a=ssrc-group:SIM 1 2 3',
  'a=ssrc-group:FID 1 1',
  'a=ssrc:1 cname:',
  'a=fmtp:96 =;=;;a',
  'a=extmap:15/sendonly urn:ietf:params:rtp-hdrext:sdes:mid',
  'a=group:BUNDLE',
  'a=group:BUNDLE 0 0 1',
  'a=mid:0',
  'm=audio 9 UDP/TLS/RTP/SAVPF',
  'm=video 0 UDP/TLS/RTP/SAVPF 96',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'm=text 9 RTP/AVP t140',
  'v=1',
];

type Damage = (lines: string[], random: Random) => string[];

const replaceLine = (lines: string[], random: Random, edit: (line: string) => string): string[] => {
  const index = random.below(lines.length);
  return lines.map((line, at) => (at === index ? edit(line) : line));
};

const DAMAGE: Readonly<Record<string, Damage>> = {
  drop: (lines, random) => {
    const index = random.below(lines.length);
    return lines.filter((_line, at) => at !== index);
  },
  repeat: (lines, random) => {
    const index = random.below(lines.length);
    return [...lines.slice(0, index), ...lines.slice(index, index + 1), ...lines.slice(index)];
  },
  move: (lines, random) => {
    const [from, to] = [random.below(lines.length), random.below(lines.length)];
    const rest = lines.filter((_line, at) => at !== from);
    return [...rest.slice(0, to), ...lines.slice(from, from + 1), ...rest.slice(to)];
  },
  number: (lines, random) =>
    replaceLine(lines, random, (line) => {
      const numbers = [...line.matchAll(/\d+/g)];
      if (numbers.length === 0) return line;
      const { index, 0: found } = random.of(numbers);
      return line.slice(0, index) + random.of(NUMBERS) + line.slice(index + found.length);
    }),
  value: (lines, random) =>
    replaceLine(lines, random, (line) =>
      line.replace(/[:=](?!.*[:=]).*$/, (end) => end.slice(0, 1) + random.of(VALUES)),
    ),
  word: (lines, random) =>
    replaceLine(lines, random, (line) => {
      const words = line.split(' ');
      words[random.below(words.length)] = random.of(VALUES);
      return words.join(' ');
    }),
  cut: (lines, random) => replaceLine(lines, random, (line) => line.slice(0, random.below(line.length + 1))),
  byte: (lines, random) =>
    replaceLine(lines, random, (line) => {
      const at = random.below(line.length + 1);
      return line.slice(0, at) + String.fromCharCode(random.below(256)) + line.slice(at + 1);
    }),
  insert: (lines, random) => {
    const at = 1 + random.below(lines.length);
    return [...lines.slice(0, at), random.of(LINES), ...lines.slice(at)];
  },
  splice: (lines, random) => {
    const other = random.of([...offers.values()]).split('\r\n');
    const at = 1 + random.below(lines.length);
    const from = random.below(other.length);
    return [...lines.slice(0, at), ...other.slice(from, from + 1 + random.below(12)), ...lines.slice(at)];
  },
  sections: (lines, random) => {
    const [session = '', ...sections] = lines.join('\r\n').split(/(?=^m=)/m);
    const chosen = Array.from({ length: random.below(5) }, () =>
      random.of(sections.length > 0 ? sections : ['']),
    );
    return (session + chosen.join('')).split('\r\n');
  },
  end: (lines, random) => lines.slice(0, random.below(lines.length)),
};

/** @param seed any whole number */
export function* mutations(count: number, seed: number): Generator<Mutation> {
  const random = new Random(seed);
  for (let index = 0; index < count; index += 1) {
    const name = random.of([...offers.keys()]);
    let lines = (offers.get(name) ?? '').split('\r\n').slice(0, -1);
    const done: string[] = [];
    for (let left = 1 + random.below(4); left > 0 && lines.length > 0; left -= 1) {
      const damage = random.of(Object.keys(DAMAGE));
      lines = DAMAGE[damage]?.(lines, random) ?? lines;
      done.push(damage);
    }
    const ending = random.of(['\r\n', '\r\n', '\r\n', '\n']);
    yield {
      description: `#${index} ${name}: ${done.join(', ')}`,
      sdp: lines.map((line) => line + ending).join(''),
    };
  }
}
