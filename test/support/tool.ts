export * from '../../src/demo/content/tool.ts';
