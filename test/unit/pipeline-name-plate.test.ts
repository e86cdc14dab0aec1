import { describe, expect, it } from 'vitest';
import { namePlate } from '../../pipelines/shared/name-plate.ts';

const textOf = (svg: string) => /<text[^>]*>([^<]*)<\/text>/.exec(svg)?.[1];

describe('namePlate', () => {
  it('is as wide as its text, and even', () => {
    const short = namePlate('Al', 36, 600);
    const long = namePlate('Alexandra', 36, 600);
    expect(short.height).toBe(36);
    expect([short.width % 2, long.width % 2]).toEqual([0, 0]);
    expect(long.width).toBeGreaterThan(short.width * 2);
    expect(textOf(long.svg)).toBe('Alexandra');
  });

  it('cuts what is too long, between characters', () => {
    const { svg, width } = namePlate('😀'.repeat(100), 36, 200);
    expect(width).toBeLessThanOrEqual(200);
    expect(textOf(svg)).toMatch(/^(😀)+…$/u);
  });

  it.each([
    ['markup', '<b>&"\'', '&#60;b&#62;&#38;&#34;&#39;'],
    ['an entity', '&lt;', '&#38;lt;'],
    ['control characters', ' a\u0000\u001b[1m\n\tb ', 'a [1m b'],
    ['half a character', 'a\ud800b', 'a b'],
    ['what XML does not allow', 'a\uffffb', 'a b'],
    ['nothing', '', ''],
  ])('takes %s for text', (_, text, shown) => {
    expect(textOf(namePlate(text, 36, 600).svg)).toBe(shown);
  });

  it('has a size in the least room', () => {
    expect(namePlate('a name', 2, 2)).toMatchObject({ width: 2, height: 2 });
  });
});
