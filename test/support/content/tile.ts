export * from '../../../src/demo/content/tile.ts';
