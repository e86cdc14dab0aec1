export * from '../../../src/demo/content/types.ts';
