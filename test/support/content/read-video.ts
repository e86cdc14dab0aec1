export * from '../../../src/demo/content/read-video.ts';
