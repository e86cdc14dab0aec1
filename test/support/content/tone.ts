export * from '../../../src/demo/content/tone.ts';
