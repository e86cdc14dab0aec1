export * from '../../../src/demo/content/participant.ts';
