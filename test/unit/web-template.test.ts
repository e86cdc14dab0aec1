import { describe, expect, it } from 'vitest';
import { serverUrlOf, templateUrl } from '../../src/web-source/index.ts';

describe('the address of a template', () => {
  const query = {
    layout: 'grid-light',
    serverUrl: 'wss://s.example.com:7880',
    token: 'a.b-c',
    room: 'a & b',
  };

  it('has LiveKit’s layout, url and token, and where WHEP is', () => {
    const url = new URL(templateUrl({ ...query, baseUrl: 'https://t.example.com/view' }));
    expect(url.origin + url.pathname).toBe('https://t.example.com/view');
    expect(Object.fromEntries(url.searchParams)).toEqual({
      ...{ layout: 'grid-light', url: 'wss://s.example.com:7880', token: 'a.b-c', room: 'a & b' },
      whep: 'https://s.example.com:7880/whep',
    });
  });

  it('keeps a query and a fragment of the template’s own, but nothing that is the room’s', () => {
    const url = new URL(templateUrl({ ...query, baseUrl: 'https://t/?theme=dark&token=forged#part' }));
    expect(url.hash).toBe('#part');
    expect(url.searchParams.get('theme')).toBe('dark');
    expect(url.searchParams.getAll('token')).toEqual(['a.b-c']);
  });

  it('takes the server from the bridge', () => {
    expect(serverUrlOf('ws://10.0.0.1:7880/bridge')).toBe('ws://10.0.0.1:7880');
    expect(serverUrlOf('wss://sluice.example.com/bridge')).toBe('wss://sluice.example.com');
  });
});
