/** What a WHIP publisher and a WHEP viewer share: one peer connection, signalled over HTTP (RFC 9725 §4). */

export interface HttpPeerOptions {
  /** Of the endpoint, e.g. `/whip`. */
  url: string;
  /** Access token. */
  token: string;
}

export interface HttpPeerEvents {
  /** The connection's state, `closed` at the end whatever ended it. */
  state(state: RTCPeerConnectionState): void;
  /** Why it ended, when it was not {@link HttpPeer.stop}. */
  error(error: Error): void;
}

/** How long a connection may be down before ICE is restarted, ms. */
const RESTART_AFTER_MS = 2000;

export abstract class HttpPeer {
  readonly connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  readonly #options: HttpPeerOptions;
  readonly #events: Partial<HttpPeerEvents>;
  #session: string | undefined;
  #etag: string | undefined;
  #candidates: RTCIceCandidate[] = [];
  #trickles = true;
  #restartTimer: number | undefined;
  #stopped = false;

  constructor(options: HttpPeerOptions, events: Partial<HttpPeerEvents>) {
    this.#options = options;
    this.#events = events;
    this.connection.addEventListener('connectionstatechange', () => this.#stateChanged());
    this.connection.addEventListener('icecandidate', ({ candidate }) => {
      if (!candidate) return;
      this.#candidates.push(candidate);
      void this.#trickle();
    });
  }

  /** Adds the transceivers. */
  protected abstract prepare(): Promise<void> | void;

  /** The offer as it is set and sent. */
  protected editOffer(sdp: string): string {
    return sdp;
  }

  /** @throws Error that says what the server did not like */
  async start(): Promise<void> {
    try {
      this.connection.setConfiguration({ bundlePolicy: 'max-bundle', iceServers: await this.#iceServers() });
      await this.prepare();
      const { sdp = '' } = await this.connection.createOffer();
      await this.connection.setLocalDescription({ type: 'offer', sdp: this.editOffer(sdp) });
      const response = await this.#request('POST', this.#options.url, {
        type: 'application/sdp',
        body: this.connection.localDescription?.sdp ?? sdp,
      });
      const location = response.headers.get('location');
      if (location === null) throw new Error('the server gave the session no URL');
      this.#session = new URL(location, response.url).href;
      this.#etag = response.headers.get('etag') ?? undefined;
      await this.connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
      void this.#trickle();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** New credentials and paths for the same session, e.g. after the network changed. @throws Error */
  async restartIce(): Promise<void> {
    if (this.#session === undefined) throw new Error('there is no session yet');
    const answer = this.connection.remoteDescription?.sdp ?? '';
    this.connection.restartIce();
    const { sdp = '' } = await this.connection.createOffer();
    await this.connection.setLocalDescription({ type: 'offer', sdp: this.editOffer(sdp) });
    const response = await this.#request('PATCH', this.#session, {
      type: 'application/trickle-ice-sdpfrag',
      ifMatch: '*',
      body: fragmentOf(this.connection.localDescription?.sdp ?? sdp, []),
    });
    this.#etag = response.headers.get('etag') ?? this.#etag;
    await this.connection.setRemoteDescription({
      type: 'answer',
      sdp: withIce(answer, await response.text()),
    });
  }

  /** Ends the session here and on the server. Never throws; safe to call twice, and while a page closes. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#restartTimer);
    this.#events.state?.('closed');
    // First DELETE: a server that sees the connection close has ended the session by itself.
    if (this.#session !== undefined) {
      await this.#request('DELETE', this.#session, {}).catch(() => undefined);
    }
    this.connection.close();
  }

  #stateChanged(): void {
    const { connectionState } = this.connection;
    if (this.#stopped) return;
    clearTimeout(this.#restartTimer);
    this.#events.state?.(connectionState);
    if (connectionState === 'failed') this.#recover();
    if (connectionState === 'disconnected') {
      this.#restartTimer = window.setTimeout(() => this.#recover(), RESTART_AFTER_MS);
    }
  }

  #recover(): void {
    this.restartIce().catch((error: unknown) => {
      if (this.#stopped) return;
      this.#events.error?.(error instanceof Error ? error : new Error(String(error)));
      void this.stop();
    });
  }

  /** Asked for before gathering begins, so that relayed candidates are among the first. */
  async #iceServers(): Promise<RTCIceServer[]> {
    const response = await this.#request('OPTIONS', this.#options.url, {});
    return parseIceServers(response.headers.get('link') ?? '');
  }

  async #trickle(): Promise<void> {
    if (!this.#trickles || this.#session === undefined || this.#candidates.length === 0 || this.#stopped)
      return;
    const body = fragmentOf(this.connection.localDescription?.sdp ?? '', this.#candidates.splice(0));
    try {
      await this.#request('PATCH', this.#session, {
        type: 'application/trickle-ice-sdpfrag',
        ...(this.#etag === undefined ? {} : { ifMatch: this.#etag }),
        body,
      });
    } catch {
      // A server need not take candidates: it sees them in our checks.
      this.#trickles = false;
    }
  }

  async #request(
    method: string,
    url: string,
    what: { type?: string; ifMatch?: string; body?: string },
  ): Promise<Response> {
    const headers = new Headers({ authorization: `Bearer ${this.#options.token}` });
    if (what.type !== undefined) headers.set('content-type', what.type);
    if (what.ifMatch !== undefined) headers.set('if-match', what.ifMatch);
    const response = await fetch(url, {
      method,
      headers,
      keepalive: method === 'DELETE',
      ...(what.body === undefined ? {} : { body: what.body }),
    });
    if (!response.ok) throw new Error(await problemOf(response));
    return response;
  }
}

async function problemOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const problem: unknown = JSON.parse(text);
    if (typeof problem === 'object' && problem !== null && 'detail' in problem) return String(problem.detail);
  } catch {
    // Not a problem document (RFC 9457): the status says it.
  }
  return `the server answered ${response.status} ${response.statusText}`;
}

/** Our credentials, and candidates if there are any (RFC 8840 §9). */
function fragmentOf(sdp: string, candidates: readonly RTCIceCandidate[]): string {
  const line = (pattern: RegExp) => pattern.exec(sdp)?.[0] ?? '';
  const lines = [
    line(/^a=ice-ufrag:\S+/m),
    line(/^a=ice-pwd:\S+/m),
    line(/^m=.*$/m).trim(),
    line(/^a=mid:\S+/m),
  ];
  for (const { candidate } of candidates) lines.push(`a=${candidate}`);
  return `${lines.filter((each) => each !== '').join('\r\n')}\r\n`;
}

/** An answer with the credentials and candidates of a fragment in place of its own. */
function withIce(answer: string, fragment: string): string {
  const pick = (pattern: RegExp) => fragment.match(pattern) ?? [];
  const fresh = [
    ...pick(/^a=ice-(ufrag|pwd):\S+/gm),
    ...pick(/^a=candidate:.*$/gm).map((each) => each.trim()),
  ];
  return answer
    .split('\r\n')
    .filter((each) => !/^a=(candidate:|ice-ufrag:|ice-pwd:)/.test(each))
    .flatMap((each) => (each.startsWith('a=mid:') ? [each, ...fresh] : [each]))
    .join('\r\n');
}

/** `Link: <turn:...>; rel="ice-server"; username="..."; credential="..."` (RFC 9725 §4.6). */
function parseIceServers(link: string): RTCIceServer[] {
  return [...link.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g)].flatMap(
    ([, urls = '', rest = '']) => {
      const values = new Map(
        [...rest.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', value = '']) => [
          key.toLowerCase(),
          value.replaceAll(/\\(.)/g, '$1'),
        ]),
      );
      if (values.get('rel') !== 'ice-server') return [];
      const [username, credential] = [values.get('username'), values.get('credential')];
      return [
        { urls, ...(username === undefined || credential === undefined ? {} : { username, credential }) },
      ];
    },
  );
}
