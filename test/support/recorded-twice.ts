/** Records publishers twice at once, copied, each alone, and composed, all together; and looks at what came of it. */
import { analyse } from '../../src/demo/content/analyse.ts';
import type { ColorName, ContentReport, TileReport } from '../../src/demo/content/analyse.ts';
import { COLORS } from '../../pipelines/publisher/signal.ts';
import { UdpPath } from './network.ts';
import type { NetworkFaults } from './network.ts';
import { AAC, sleep, TestPipeline, X264 } from './pipeline.ts';
import type { Published, TestRouter } from './rtp-source.ts';
import { until } from './sfu.ts';

const PASSTHROUGH = {
  program: 'passthrough',
  video: { mimeType: 'video/H264' },
  audio: { mode: 'encode', encoding: AAC },
} as const;
const COMPOSITE = { program: 'composite', video: X264, audio: AAC } as const;
/** Whom there are pictures for: the composite has a place for each. */
export const NAMES = Object.keys(COLORS) as ColorName[];
const REGIONS = NAMES.map((_, index) => ({
  x: (index % 2) * 320,
  y: Math.floor(index / 2) * 180,
  width: 320,
  height: 180,
}));
/** Of a recording, left out: lip sync settles within its first Sender Reports. */
export const FROM = 3;
/** Until what was sent is in the recordings. */
const END_MS = 500;

export interface Recorded {
  name: ColorName;
  copied: ContentReport;
  composed: TileReport;
}

/** A publisher that has not started, and what is between the SFU and its receivers. */
export interface Recordable {
  name: ColorName;
  published: Published;
  network?: NetworkFaults;
}

/**
 * Records every publisher for `seconds` from when all have begun, and a moment more: an end is cut where it comes.
 * Each has four paths: picture and sound, composed and copied. They are looked at from {@link FROM} on.
 * @param open takes what is to be closed after the test
 */
export async function recordTwice(
  seconds: number,
  router: TestRouter,
  publishers: Recordable[],
  open: { close(): unknown }[],
): Promise<{
  each: Recorded[];
  composed: ContentReport;
  composedFor: number;
  copiedFor: number;
  paths: UdpPath[];
}> {
  const startedAt = new Map<TestPipeline, number>();
  const since = (run: TestPipeline, at = performance.now()): number => (at - startedAt.get(run)!) / 1000;
  const begin = async (init: typeof COMPOSITE | typeof PASSTHROUGH): Promise<TestPipeline> => {
    const run = await TestPipeline.start(init);
    open.push(run);
    startedAt.set(run, performance.now());
    return run;
  };
  const together = await begin(COMPOSITE);
  const alone = await Promise.all(publishers.map(() => begin(PASSTHROUGH)));
  const paths: UdpPath[] = [];
  const path = (faults: NetworkFaults | undefined): { path?: UdpPath } => {
    if (!faults) return {};
    const made = new UdpPath(faults, 1000 + paths.length);
    open.push(made);
    paths.push(made);
    return { path: made };
  };
  const tiles = publishers.map(({ name }, index) => ({ trackId: `${name}-video`, z: 1, ...REGIONS[index]! }));
  await together.host.send({ cmd: 'layout', tiles });
  for (const [index, { name, published, network }] of publishers.entries()) {
    for (const run of [together, alone[index]!])
      for (const kind of ['video', 'audio'] as const)
        await router.subscribe(run.host, {
          trackId: `${name}-${kind}`,
          producer: published[kind]!,
          syncGroup: name,
          ...path(network),
        });
  }
  for (const { published } of publishers) published.source.start();
  // A busy machine takes its time to start a source.
  await until(
    'pictures',
    () => publishers.every(({ published }) => published.picturesAtMs.length > 0),
    15_000,
  );
  const begun = performance.now();
  const within = (run: TestPipeline) => ({
    from: since(run, begun) + FROM,
    to: since(run, begun) + seconds,
  });
  await sleep(seconds * 1000 + END_MS);
  // The copies have begun within a moment of each other.
  const [composedFor, copiedFor] = [since(together), since(alone[0]!)];
  await Promise.all([together, ...alone].map((run) => run.stop()));
  const [composed, ...copied] = await Promise.all([
    together.joined().then((file) =>
      analyse(file, {
        tiles: publishers.map(({ name }, index) => ({
          name,
          color: name,
          region: REGIONS[index]!,
          ...within(together),
        })),
      }),
    ),
    ...alone.map(async (run, index) => {
      const { name } = publishers[index]!;
      return analyse(await run.joined(), {
        tiles: [{ name, color: name, ...within(run) }],
      });
    }),
  ]);
  const errors = [together, ...alone].flatMap((run) => run.of('trackError'));
  if (errors.length > 0) throw new Error(`receivers failed: ${JSON.stringify(errors)}`);
  return {
    each: publishers.map(({ name }, index) => ({
      name,
      copied: copied[index]!,
      composed: composed.tiles[index]!,
    })),
    composed: composed,
    composedFor,
    copiedFor,
    paths,
  };
}
