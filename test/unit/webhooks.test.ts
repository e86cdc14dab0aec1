import { WebhookConfig } from '@livekit/protocol';
import { describe, expect, it } from 'vitest';
import { retryDelay } from '../../src/webhooks/backoff.ts';
import { destinationsOf } from '../../src/webhooks/destinations.ts';
import { DEFAULT_TIMING } from '../../src/webhooks/types.ts';

describe('retryDelay', () => {
  it.each([
    [1, 1000],
    [2, 2000],
    [5, 16_000],
    [10, 512_000],
    [11, 600_000],
    [5000, 600_000],
  ])('after %i failures about %i ms', (failures, ms) => {
    expect(retryDelay(failures, DEFAULT_TIMING, 0.5)).toBe(ms);
    expect(retryDelay(failures, DEFAULT_TIMING, 0)).toBe(Math.round(ms * 0.8));
    expect(retryDelay(failures, DEFAULT_TIMING, 1)).toBe(Math.round(ms * 1.2));
  });
});

describe('destinationsOf', () => {
  const extra = (url: string, signingKey = '', includeEvents: string[] = [], excludeEvents: string[] = []) =>
    new WebhookConfig({ url, signingKey, filterParams: { includeEvents, excludeEvents } });

  it.each([
    ['configured URLs with the default key', ['http://a'], [], ['k http://a']],
    [
      'a request’s own key, or the default',
      [],
      [extra('http://b', 'mine'), extra('http://c')],
      ['mine http://b', 'k http://c'],
    ],
    ['each once', ['http://a', 'http://a'], [extra('http://a', 'k')], ['k http://a']],
    [
      'the same URL for another key',
      ['http://a'],
      [extra('http://a', 'mine')],
      ['k http://a', 'mine http://a'],
    ],
    [
      'what is included',
      [],
      [extra('http://b', '', ['egress_ended']), extra('http://c', '', ['egress_started'])],
      ['k http://c'],
    ],
    [
      'what is not excluded',
      [],
      [extra('http://b', '', [], ['egress_started']), extra('http://c', '', [], ['egress_ended'])],
      ['k http://c'],
    ],
    ['excluded although included', [], [extra('http://b', '', ['egress_started'], ['egress_started'])], []],
    ['no filter at all', [], [new WebhookConfig({ url: 'http://b' })], ['k http://b']],
    ['no empty URL', [], [new WebhookConfig()], []],
  ])('%s', (_, configured, extras, expected) => {
    const destinations = destinationsOf('egress_started', configured, extras, 'k');
    expect(destinations.map(({ url, apiKey }) => `${apiKey} ${url}`)).toEqual(expected);
  });

  it('says which ones are held to the outbound policy: those of requests that are not configured too', () => {
    const found = destinationsOf('egress_started', ['http://a'], [extra('http://a'), extra('http://b')], 'k');
    expect(found.map(({ url, checked }) => [url, checked])).toEqual([
      ['http://a', false],
      ['http://b', true],
    ]);
  });
});
