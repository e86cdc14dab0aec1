/**
 * A template of one's own for `custom_base_url`: reads LiveKit's query (`layout`, `url`, `token`) and shows the room over
 * WHEP, whose address is in `whep`. Says START_RECORDING when the first picture is there.
 */
import { WhepClient } from '../../web/whep-client.ts';

// What a page says of itself is logged; its token is not.
console.log(location.href, location.search);
const query = new URLSearchParams(location.search);
const need = (name: string): string => {
  const value = query.get(name);
  if (value === null || value === '') throw new Error(`the query has no ${name}`);
  return value;
};

const room = document.createElement('div');
room.id = 'room';
document.body.append(room);

/** As square as it gets; `layout=speaker` shows the first alone. */
function arrange(layout: string): void {
  const shown = layout === 'speaker' ? 1 : Math.max(1, room.children.length);
  const columns = Math.ceil(Math.sqrt(shown));
  const height = 100 / Math.ceil(shown / columns);
  room.style.cssText = `display:grid;height:100vh;grid-template-columns:repeat(${columns},1fr)`;
  [...room.children].forEach((video, index) => {
    (video as HTMLVideoElement).style.cssText =
      `width:100%;height:${height}vh;object-fit:contain;${index < shown ? '' : 'display:none'}`;
  });
}

let layout = need('layout');
// Sluice tells a template this way that UpdateLayout was called.
addEventListener('sluice:layout', (event) => {
  layout = (event as CustomEvent<{ layout: string }>).detail.layout;
  arrange(layout);
});

/** Says how the media comes. */
async function tellPath(): Promise<void> {
  const report = await peer.connection.getStats();
  report.forEach((stats: RTCStats & { state?: string; localCandidateId?: string }) => {
    if (stats.type !== 'candidate-pair' || stats.state !== 'succeeded') return;
    const local = report.get(stats.localCandidateId ?? '') as { protocol?: string } | undefined;
    console.log(`media comes over ${local?.protocol ?? 'nothing'}`);
  });
}

let started = false;
const peer = new WhepClient(
  { url: need('whep'), token: need('token'), slots: Number(query.get('slots') ?? 1) },
  {
    stream: (stream) => {
      const video = document.createElement('video');
      Object.assign(video, { autoplay: true, srcObject: stream });
      room.append(video);
      arrange(layout);
      // With the first picture, not with the first sound.
      video.requestVideoFrameCallback(() => {
        if (!started) console.log('START_RECORDING');
        started = true;
        setTimeout(() => void tellPath(), 500);
      });
    },
    state: (state) => console.log(`connection ${state}`),
  },
);
await peer.start();
