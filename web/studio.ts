/** The studio page: join a room with an access token, publish over WHIP, watch over WHEP. */
import { PublishStats } from './publish-stats.ts';
import { createTestSource } from './test-source.ts';
import { refreshTiles, Tile } from './tiles.ts';
import { WhepClient } from './whep-client.ts';
import type { WhepOptions } from './whep-client.ts';
import { WhipClient } from './whip-client.ts';

/** Places to watch: a room with more people shows these many. */
const SLOTS = 9;
const STATS_INTERVAL_MS = 1000;
const TILES_INTERVAL_MS = 300;

const element = <T extends HTMLElement>(id: string, type: new () => T): T => {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
};

const ui = {
  notice: element('notice', HTMLParagraphElement),
  where: element('where', HTMLParagraphElement),
  leave: element('leave', HTMLButtonElement),
  join: element('join', HTMLFormElement),
  token: element('token', HTMLTextAreaElement),
  room: element('room', HTMLDivElement),
  publish: element('publish', HTMLFormElement),
  settings: element('settings', HTMLFieldSetElement),
  codec: element('codec', HTMLSelectElement),
  publishButton: element('publish-button', HTMLButtonElement),
  preview: element('preview', HTMLVideoElement),
  publishState: element('publish-state', HTMLElement),
  publishStats: element('publish-stats', HTMLElement),
  watch: element('watch', HTMLFormElement),
  layer: element('layer', HTMLSelectElement),
  watchButton: element('watch-button', HTMLButtonElement),
  tiles: element('tiles', HTMLDivElement),
  empty: element('empty', HTMLParagraphElement),
};

let token = '';
let publishing: { client: WhipClient; stop(): void } | undefined;
let watching: { client: WhepClient; stop(): void } | undefined;

function complain(error: unknown): void {
  ui.notice.textContent = error instanceof Error ? error.message : String(error);
  ui.notice.hidden = false;
}

/** Runs what a button asks for, once at a time. */
async function busy(button: HTMLButtonElement, action: () => Promise<void>): Promise<void> {
  if (button.disabled) return;
  button.disabled = true;
  ui.notice.hidden = true;
  try {
    await action();
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
  }
}

/** Room and identity, read from the token; only the server can say whether it holds. */
function claimsOf(jwt: string): { room: string; identity: string } {
  try {
    const [, payload = ''] = jwt.split('.');
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
      char.charCodeAt(0),
    );
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as {
      sub?: unknown;
      video?: { room?: unknown };
    };
    if (typeof claims.sub === 'string' && typeof claims.video?.room === 'string') {
      return { room: claims.video.room, identity: claims.sub };
    }
  } catch {
    // Not a token at all: the same complaint.
  }
  throw new Error('This is not an access token for a room: it must name a room and an identity.');
}

function enter(jwt: string): void {
  const { room, identity } = claimsOf(jwt);
  token = jwt;
  const strong = (text: string) => {
    const node = document.createElement('strong');
    node.textContent = text;
    return node;
  };
  ui.where.replaceChildren(strong(identity), ' in ', strong(room));
  ui.join.hidden = true;
  ui.where.hidden = ui.leave.hidden = ui.room.hidden = false;
}

async function leave(): Promise<void> {
  await Promise.all([publishing?.client.stop(), watching?.client.stop()]);
  token = '';
  ui.token.value = '';
  ui.join.hidden = false;
  ui.where.hidden = ui.leave.hidden = ui.room.hidden = true;
}

/** What is chosen in the form. */
function setting(name: string): string {
  const value = new FormData(ui.publish).get(name);
  return typeof value === 'string' ? value : '';
}

async function sourceOf(): Promise<{ stream: MediaStream; stop(): void }> {
  const [width = 1280, height = 720] = setting('size').split('x').map(Number);
  const kind = setting('source');
  if (kind === 'test') return createTestSource({ width, height, label: claimsOf(token).identity });
  // Browsers offer devices only to pages from https or from this machine.
  if (!('mediaDevices' in navigator)) throw new Error('Cameras and screens need https (or localhost).');
  const stream =
    kind === 'screen'
      ? await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: true })
      : await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate: 30 }, audio: true });
  return { stream, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

async function startPublishing(): Promise<void> {
  const source = await sourceOf();
  const client = new WhipClient(
    {
      url: 'whip',
      token,
      stream: source.stream,
      codec: setting('codec'),
      simulcast: setting('simulcast') !== '',
    },
    {
      state: (state) => {
        showPublishState(state);
        if (state === 'closed') publishing?.stop();
      },
      error: complain,
    },
  );
  const stats = new PublishStats(client.connection);
  const timer = setInterval(() => void showPublishStats(stats), STATS_INTERVAL_MS);
  publishing = {
    client,
    stop: () => {
      publishing = undefined;
      clearInterval(timer);
      source.stop();
      ui.preview.srcObject = null;
      ui.settings.disabled = false;
      ui.publishStats.hidden = true;
      press(ui.publishButton, false, 'Start publishing');
    },
  };
  ui.preview.srcObject = source.stream;
  ui.settings.disabled = true;
  press(ui.publishButton, true, 'Stop publishing');
  // Somebody may stop a shared screen from the browser's own bar.
  source.stream.getVideoTracks()[0]?.addEventListener('ended', () => void client.stop());
  await client.start();
}

function press(button: HTMLButtonElement, pressed: boolean, text: string): void {
  button.setAttribute('aria-pressed', String(pressed));
  button.textContent = text;
}

function showPublishState(state: RTCPeerConnectionState): void {
  const words: Partial<Record<RTCPeerConnectionState, string>> = {
    connected: 'Live',
    disconnected: 'Connection lost, trying again',
    failed: 'Connection lost, trying again',
    closed: 'Nothing is published',
  };
  ui.publishState.textContent = words[state] ?? 'Connecting';
  ui.publishState.dataset.state = state;
}

async function showPublishStats(stats: PublishStats): Promise<void> {
  const rows = await stats.read();
  ui.publishStats.replaceChildren(
    ...rows.flatMap(([name, value]) => {
      const [term, description] = [document.createElement('dt'), document.createElement('dd')];
      term.textContent = name;
      description.textContent = value;
      return [term, description];
    }),
  );
  ui.publishStats.hidden = publishing === undefined;
}

async function startWatching(): Promise<void> {
  const tiles: Tile[] = [];
  const client = new WhepClient(
    { url: 'whep', token, slots: SLOTS, layer: ui.layer.value as NonNullable<WhepOptions['layer']> },
    {
      stream: (stream, index) => tiles.push(new Tile(ui.tiles, stream, index)),
      state: (state) => {
        if (state === 'closed') watching?.stop();
      },
      error: complain,
    },
  );
  const timer = setInterval(() => {
    void refreshTiles(client.connection, tiles).then(
      (seen) => (ui.empty.hidden = seen && watching !== undefined),
    );
  }, TILES_INTERVAL_MS);
  watching = {
    client,
    stop: () => {
      watching = undefined;
      clearInterval(timer);
      ui.tiles.replaceChildren();
      ui.empty.hidden = false;
      ui.layer.disabled = false;
      press(ui.watchButton, false, 'Start watching');
    },
  };
  ui.layer.disabled = true;
  press(ui.watchButton, true, 'Stop watching');
  await client.start();
}

for (const name of WhipClient.videoCodecs()) {
  ui.codec.add(new Option(name.replace('H264', 'H.264'), name, false, name === 'VP8'));
}

ui.join.addEventListener('submit', (event) => {
  event.preventDefault();
  ui.notice.hidden = true;
  try {
    enter(ui.token.value.trim());
  } catch (error) {
    complain(error);
  }
});
ui.leave.addEventListener('click', () => void busy(ui.leave, leave));
ui.publish.addEventListener('submit', (event) => {
  event.preventDefault();
  void busy(ui.publishButton, async () => (publishing ? publishing.client.stop() : startPublishing()));
});
ui.watch.addEventListener('submit', (event) => {
  event.preventDefault();
  void busy(ui.watchButton, async () => (watching ? watching.client.stop() : startWatching()));
});
// A page that goes away says so, and the room need not wait for silence.
addEventListener('pagehide', () => {
  void publishing?.client.stop();
  void watching?.client.stop();
});

// A token in the fragment never reaches a server's log; nor need it stay in the address bar.
const given = new URLSearchParams(location.hash.slice(1)).get('token');
if (given !== null) {
  history.replaceState(null, '', location.pathname + location.search);
  try {
    enter(given);
  } catch (error) {
    complain(error);
  }
}
