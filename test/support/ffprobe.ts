export * from '../../src/demo/content/ffprobe.ts';
