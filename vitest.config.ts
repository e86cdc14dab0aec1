import { defineConfig } from 'vitest/config';

const SECOND = 1000;

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
        // A few real processes each: two files at a time, so that media is not starved of processor time.
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 90 * SECOND,
          hookTimeout: 60 * SECOND,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Whole servers with live media and browsers: one file at a time.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 180 * SECOND,
          hookTimeout: 120 * SECOND,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
