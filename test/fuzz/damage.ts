/** Seeded damage to text and to JSON values, and the values that break things. */
import { mutate } from '../support/mutate.ts';
import type { Next } from './fuzzer.ts';

export const among = <T>(next: Next, list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
export const upTo = (next: Next, most: number): number => Math.floor(next() * (most + 1));

/** Numbers at the edges of what types hold. */
export const NUMBERS: readonly number[] = [
  0, -0, 1, -1, 0.5, 127, 128, 255, 256, 65535, 65536, 2147483647, -2147483648, 4294967295, 4294967296, 1e15,
  9007199254740991, 1.8e19, -1e300, 1e308,
];
/** Strings that mean something to somebody. */
export const STRINGS: readonly string[] = [
  '',
  ' ',
  '0',
  '-1',
  'null',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  '..\\..\\x',
  '/etc/passwd',
  'a\u0000b',
  '\uFEFFa',
  '\ud800',
  '\u{1F4F9}\u0301',
  '%s%n%x',
  '${jndi}{{x}}{time}{room_name}',
  '-i',
  '| rm -rf',
  '`id`',
  '$(id)',
  "' OR 1=1",
  'a\r\nb: c',
  'x'.repeat(300),
  'x'.repeat(20_000),
  '\u00e9'.repeat(3000),
  'file:///etc/passwd',
  'http://127.0.0.1:1/',
  'http://[::1]:1/',
  'http://0x7f.1/',
  'rtmp://127.0.0.1/live/key',
  'rtmp://user:pass@127.0.0.1/live/key',
  'srt://127.0.0.1:1?passphrase=0123456789&mode=listener',
  'http://',
  'concat:a|b',
  '9'.repeat(400),
];

/** Values of other types than was expected. */
export function oddValue(next: Next, depth = 0): unknown {
  switch (upTo(next, depth > 3 ? 4 : 7)) {
    case 0:
      return among(next, NUMBERS);
    case 1:
    case 2:
      return among(next, STRINGS);
    case 3:
      return next() < 0.5;
    case 4:
      return null;
    case 5:
      return Array.from({ length: upTo(next, 4) }, () => oddValue(next, depth + 1));
    case 6:
      return Object.fromEntries(
        Array.from({ length: upTo(next, 3) }, () => [among(next, STRINGS), oddValue(next, depth + 1)]),
      );
    default:
      return nested(upTo(next, 200));
  }
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** A copy of a JSON value in which about one in `every` parts is another, gone, or doubled. */
export function damageJson(value: unknown, next: Next, every = 12): unknown {
  if (next() < 1 / every) return oddValue(next);
  if (Array.isArray(value)) {
    const list = value.flatMap((each: unknown) => {
      const fate = next();
      if (fate < 0.3 / every) return [];
      const damaged = damageJson(each, next, every);
      return fate > 1 - 0.3 / every ? [damaged, damaged] : [damaged];
    });
    return list;
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).flatMap(([name, each]): [string, unknown][] => {
    const fate = next();
    if (fate < 0.3 / every) return [];
    return [[fate > 1 - 0.3 / every ? among(next, STRINGS) : name, damageJson(each, next, every)]];
  });
  if (next() < 0.5 / every) entries.push([among(next, STRINGS), oddValue(next)]);
  return Object.fromEntries(entries);
}

/** JSON text as no writer writes it: doubled names, long numbers, depth, wrong ends. */
export function damageText(text: string, next: Next): Buffer {
  switch (upTo(next, 7)) {
    case 0:
      return mutate(Buffer.from(text), next);
    case 1:
      return Buffer.from(text.slice(0, upTo(next, text.length)));
    case 2:
      return Buffer.from(
        text.replace(/\d+/, () => among(next, ['1e999', '-0', '00', '0x1', '1'.repeat(500)])),
      );
    case 3:
      return Buffer.from('['.repeat(5000) + text + ']'.repeat(upTo(next, 5000)));
    case 4:
      return Buffer.from('{"a":'.repeat(5000) + text + '}'.repeat(upTo(next, 5000)));
    case 5:
      return Buffer.from(
        text.replace(/"(\w+)":/, (whole) => `"__proto__":{"polluted":true},${whole}null,${whole}`),
      );
    case 6: {
      const bytes = Buffer.from(text);
      return Buffer.concat([
        bytes.subarray(0, upTo(next, bytes.length)),
        Buffer.from([0xff, 0xc0, 0x80]),
        bytes,
      ]);
    }
    default:
      return Buffer.from(`${text}${among(next, ['\0', '\n\n', text, ',', '/**/', '\uFEFF'])}`);
  }
}

/** Lines left out, doubled, exchanged, cut, with other lines and words between them. */
export function damageLines(lines: readonly string[], extra: readonly string[], next: Next): string[] {
  const list = [...lines];
  for (let i = 1 + upTo(next, 4); i > 0; i--) {
    const at = upTo(next, list.length);
    switch (upTo(next, 6)) {
      case 0:
        list.splice(at, 1 + upTo(next, 2));
        break;
      case 1:
        list.splice(at, 0, list[upTo(next, list.length - 1)] ?? '');
        break;
      case 2:
        list.splice(at, 0, among(next, extra));
        break;
      case 3:
        list[at] = (list[at] ?? '').slice(0, upTo(next, 30));
        break;
      case 4:
        list[at] = mutate(Buffer.from(list[at] || 'x'), next).toString('utf8');
        break;
      case 5: {
        const words = (list[at] ?? '').split(/(?<=[:=,"\s-])/);
        words[upTo(next, words.length - 1)] = String(
          next() < 0.5 ? among(next, NUMBERS) : among(next, STRINGS),
        );
        list[at] = words.join('');
        break;
      }
      default:
        list.splice(at, 0, among(next, STRINGS));
    }
  }
  return list;
}
