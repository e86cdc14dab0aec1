export * from '../../../src/demo/content/loudness.ts';
