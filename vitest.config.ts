import { defineConfig } from 'vitest/config';

const SECOND = 1000;
/** Whole servers whose media one other of them does not disturb: little of it is encoded. */
const TWO_AT_A_TIME = [
  'crash-pipeline',
  'crash-worker',
  'ingress-docs',
  'ingress-restart',
  'security-basics',
  'storage',
].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    globalSetup: 'test/support/global-setup.ts',
    projects: [
      {
        // Pure functions and small parts: all cores.
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20 * SECOND,
          hookTimeout: 20 * SECOND,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // A few real processes each: three files at a time, so that media is not starved of processor time.
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 90 * SECOND,
          hookTimeout: 60 * SECOND,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e-pairs',
          include: TWO_AT_A_TIME,
          testTimeout: 180 * SECOND,
          hookTimeout: 120 * SECOND,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Whole servers with live media and browsers: one file at a time.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: TWO_AT_A_TIME,
          testTimeout: 180 * SECOND,
          hookTimeout: 120 * SECOND,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
