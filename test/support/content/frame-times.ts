export * from '../../../src/demo/content/frame-times.ts';
