export * from '../../../src/demo/content/analyse.ts';
