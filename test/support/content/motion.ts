export * from '../../../src/demo/content/motion.ts';
