/** Pictures without a timestamp, as decoders make them now and then: a compositor must not get one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TIMED_PICTURES } from '../../pipelines/shared/rtp-codecs.ts';
import { runTool } from '../../src/demo/content/tool.ts';

/** Forty pictures, one of them without a timestamp, through the given elements into a compositor; prints what comes of it. */
const SCRIPT = `
import Gst from 'gi://Gst?version=1.0';
import 'gi://GstApp?version=1.0';

Gst.init(null);
const [elements] = ARGV;
const like = 'video/x-raw,format=I420,width=64,height=36,pixel-aspect-ratio=1/1,interlace-mode=progressive';
const pipeline = Gst.parse_launch(
  'appsrc name=source format=time caps="' + like + ',framerate=0/1" ! ' + elements + ' ! compositor name=c ' +
    '! video/x-raw,framerate=30/1 ! appsink name=sink sync=false ' +
    'videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=16,height=16,framerate=30/1 ! c.',
);
const source = pipeline.get_by_name('source');
const sink = pipeline.get_by_name('sink');
pipeline.set_state(Gst.State.PLAYING);
for (let i = 0; i < 40; i++) {
  const buffer = Gst.Buffer.new_wrapped(new Uint8Array((64 * 36 * 3) / 2).fill(i));
  if (i !== 5) buffer.pts = Math.round((i * 1e9) / 30);
  source.push_buffer(buffer);
}
source.end_of_stream();
let pictures = 0;
while (sink.try_pull_sample(5e9)) pictures++;
const error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR);
pipeline.set_state(Gst.State.NULL);
print(JSON.stringify({ pictures, failed: error !== null }));
`;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-untimed-'));
  await writeFile(join(folder, 'untimed.js'), SCRIPT);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function composed(elements: string): Promise<{ pictures: number; failed: boolean }> {
  const { stdout } = await runTool('gjs', ['-m', join(folder, 'untimed.js'), elements]);
  return JSON.parse(stdout) as { pictures: number; failed: boolean };
}

it('end a compositor, and are left out', async () => {
  // It says so where another source still gives pictures; that none comes any more holds in any case.
  expect((await composed('identity')).pictures).toBeLessThan(20);
  expect(await composed(TIMED_PICTURES)).toEqual({ pictures: 60, failed: false });
});
