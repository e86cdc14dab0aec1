/** A router and pipelines of one test's own, so that tests of a file, which mostly wait for media, run at once. */
import type { TestContext } from 'vitest';
import { TestPipeline } from './pipeline.ts';
import { TestRouter } from './rtp-source.ts';

export interface PipelineRig {
  router: TestRouter;
  /** {@link TestPipeline.start}, closed after the test. */
  start: typeof TestPipeline.start;
}

/** Everything it gives is closed after the test, pipelines first. */
export async function pipelineRig({
  onTestFinished,
}: Pick<TestContext, 'onTestFinished'>): Promise<PipelineRig> {
  const router = await TestRouter.start();
  onTestFinished(() => router.close());
  return {
    router,
    start: async (...args) => {
      const pipeline = await TestPipeline.start(...args);
      onTestFinished(() => pipeline.close());
      return pipeline;
    },
  };
}
