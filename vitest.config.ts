import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';
import type { TestSpecification } from 'vitest/node';

const SECOND = 1000;
/** Most of these files wait for media as it plays. What comes too late for that reason is run again, alone. */
const AT_ONCE = 4;
/** Whole servers whose media another of them does not disturb: little of it, or nothing, is encoded. */
const TOGETHER = [
  'browser-studio',
  'crash-ends',
  'crash-pipeline',
  'ingress-takeover',
  'ingress-url',
  'ingress-whip',
  'layouts',
  'll-hls',
  'main-job',
  'media-faults',
  'participant',
  'running-changes',
  'passthrough-sources',
  'streams',
  'track-egress',
  'web-egress',
  'web-faults',
  'web-pause',
].map((name) => `test/e2e/${name}.test.ts`);

/**
 * Whole servers of which less is asked at a time: they go beside those that come one at a time, in this order. The first
 * have chaos beside them, and wait most; a copy is looked at picture by picture, and comes when the loudest are over.
 */
const BESIDE_NAMES = [
  'churn',
  'redis-away',
  'storage',
  'admission',
  'files',
  'images',
  'ingress-docs',
  'readme',
  'ingress-restart',
  'two-machines',
  'stream-kinds',
  'passthrough',
  'security-basics',
];
const BESIDE = BESIDE_NAMES.map((name) => `test/e2e/${name}.test.ts`);
/** Of those one at a time: what bears neighbours best comes while there are some. */
const FIRST = ['chaos', 'matrix', 'ingress-many', 'browser', ...BESIDE_NAMES];

/**
 * Tests of parts that encode or draw the most, and look at every picture: two or three of them beside one another have
 * not the processor time that each wants, so others come between them.
 */
const APART = [
  'pipeline-faults',
  'whip-browser',
  'pipeline-composite',
  'web-source',
  'pipeline-passthrough',
  'ingress-whip-media',
  'ingress-attempt',
  'ingress-program',
  'pipeline-formats',
  'ingress-sfu',
  'publisher-media',
  'pipeline-matroska',
  'ingress-formats',
];

const nameOf = ({ moduleId }: TestSpecification): string => basename(moduleId, '.test.ts');

class Sequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = (file: TestSpecification): number => {
      const index = FIRST.indexOf(nameOf(file));
      return index === -1 ? FIRST.length : index;
    };
    const sorted = (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
    const apart = sorted
      .filter((file) => APART.includes(nameOf(file)))
      .toSorted((a, b) => APART.indexOf(nameOf(a)) - APART.indexOf(nameOf(b)));
    const others = sorted.filter((file) => !apart.includes(file));
    // Of the tests of parts: Vitest begins with them, and a process stays with its project. None comes at the very
    // beginning, when every process loads what it needs.
    const between = others.filter(({ project }) => project.name === 'integration').length / apart.length;
    return apart.reduce(
      (list, file, index) => list.toSpliced(Math.floor((index + 0.5) * (between + 1)), 0, file),
      others,
    );
  }
}

export default defineConfig({
  test: {
    globalSetup: 'test/support/global-setup.ts',
    // Files share a process, and what it has imported: for every fifth second of the suite's processor time.
    isolate: false,
    sequence: { sequencer: Sequencer },
    // Of tests in a file that may run at once. Set here: Vitest hands no project what its command line says of it.
    maxConcurrency: process.env.TEST_ALONE ? 1 : 2,
    projects: [
      {
        // Pure functions and small parts: they fill the time in which the others wait for media.
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20 * SECOND,
          hookTimeout: 20 * SECOND,
          maxWorkers: AT_ONCE,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // A few real processes each; media is not to be starved of processor time.
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 90 * SECOND,
          hookTimeout: 60 * SECOND,
          maxWorkers: AT_ONCE,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'e2e-beside',
          include: BESIDE,
          testTimeout: 180 * SECOND,
          hookTimeout: 120 * SECOND,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'e2e-together',
          include: TOGETHER,
          testTimeout: 180 * SECOND,
          hookTimeout: 120 * SECOND,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Whole servers with live media and browsers: one file at a time.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...TOGETHER, ...BESIDE],
          testTimeout: 180 * SECOND,
          hookTimeout: 120 * SECOND,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
