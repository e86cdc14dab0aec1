/** The address of a template: LiveKit's protocol, as far as a page of its own can follow it. Pure. */

export interface TemplateQuery {
  /** The request's `custom_base_url`; a query of its own is kept. */
  baseUrl: string;
  layout: string;
  /** The server as a WebSocket address, as LiveKit writes it. */
  serverUrl: string;
  /** Access token of a hidden participant that subscribes. */
  token: string;
  room: string;
}

/**
 * `layout`, `url` and `token` are LiveKit's. `room` and `whep` are ours: where the page asks for the room's tracks with
 * that token, since LiveKit's signalling is not spoken here.
 * @throws TypeError when the base URL is none
 */
export function templateUrl({ baseUrl, layout, serverUrl, token, room }: TemplateQuery): string {
  const page = new URL(baseUrl);
  const whep = new URL('/whep', serverUrl.replace(/^ws/, 'http'));
  const query = { layout, url: serverUrl, token, room, whep: whep.href };
  for (const [name, value] of Object.entries(query)) page.searchParams.set(name, value);
  return page.href;
}

/** The server's address for pages, out of the bridge's: `ws://host:7880/bridge` -> `ws://host:7880`. */
export function serverUrlOf(bridgeUrl: string): string {
  const { protocol, host } = new URL(bridgeUrl);
  return `${protocol}//${host}`;
}
