export * from '../../../src/demo/content/read-audio.ts';
