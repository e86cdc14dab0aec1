import { EgressInfo } from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { pageOf } from '../../src/api/egress-pages.ts';

const infos = (...ids: number[]) => ids.map((id) => new EgressInfo({ egressId: `EG_${id}` }));

describe('pages of ListEgress', () => {
  it('come one after the other until the last', () => {
    const items = infos(5, 4, 3, 2, 1);
    const pages: string[][] = [];
    let token: string | undefined = '';
    while (token !== undefined) {
      const page = pageOf(items, token, 2);
      pages.push(page.items.map(({ egressId }) => egressId));
      token = page.nextPageToken?.token;
    }
    expect(pages).toEqual([['EG_5', 'EG_4'], ['EG_3', 'EG_2'], ['EG_1']]);
    expect(pageOf(infos(2, 1), '', 2).nextPageToken).toBeUndefined();
    expect(pageOf([], '', 2)).toMatchObject({ items: [] });
  });

  it('answer nothing twice when new ones come in between', () => {
    const { nextPageToken } = pageOf(infos(3, 2, 1), '', 2);
    const { items } = pageOf(infos(5, 4, 3, 2, 1), nextPageToken!.token, 2);
    expect(items.map(({ egressId }) => egressId)).toEqual(['EG_1']);
  });

  it('refuse a token that is none, or whose egress is forgotten', () => {
    const { nextPageToken } = pageOf(infos(3, 2, 1), '', 2);
    expect(() => pageOf(infos(3, 1), nextPageToken!.token)).toThrow(/page_token: its egress is not listed/);
    for (const token of ['x', '!', 'RUdf', 'a'.repeat(1000)]) {
      expect(() => pageOf(infos(1), token)).toThrow(/page_token: it is none of ours/);
    }
  });
});
