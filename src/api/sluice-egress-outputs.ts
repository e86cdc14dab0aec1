/** Outputs of a running egress, added and removed. */
import { randomUUID } from 'node:crypto';
import type { JsonObject, Message, MessageType } from '@bufbuild/protobuf';
import { EncodedFileOutput, ImageOutput, SegmentedFileOutput, StreamOutput } from '@livekit/protocol';
import { z } from 'zod';
import { wantedOutputs, withOutput } from '../egress/added-outputs.ts';
import { planOfRecord } from '../egress/plan/plan.ts';
import type { EgressPlan } from '../egress/plan/types.ts';
import { hlsSchema } from '../egress/request/options.ts';
import type { AddedOutput } from '../store/types.ts';
import { applied, changeRunning } from './change-running.ts';
import type { RunningOptions } from './change-running.ts';
import { withDeadline } from './deadline.ts';
import { addedHls } from './egress-hls.ts';
import type { HlsDefaults } from './egress-hls.ts';
import { TwirpError } from './errors.ts';
import { checkPlanned } from './outbound-urls.ts';
import type { OutboundRules } from './outbound-urls.ts';
import { exactlyOne, messageFromJson, messageJson, messageToJson } from './protojson.ts';
import { egressId } from './sluice-egress-running.ts';

/** More are a mistake. */
const MAX_ADDED = 64;

/** Exactly one of LiveKit's output messages, in its own JSON. */
export const addOutputSchema = z.strictObject({
  egress_id: egressId,
  file: messageJson.optional(),
  segments: messageJson.optional(),
  stream: messageJson.optional(),
  images: messageJson.optional(),
  /** Of segments. */
  hls: hlsSchema.optional(),
});

export const removeOutputSchema = z.strictObject({
  egress_id: egressId,
  output_id: z.string().min(1, 'name the output'),
});

export interface OutputsOptions extends RunningOptions {
  outbound: OutboundRules;
  /** What the configuration says of HLS. */
  hls?: HlsDefaults;
}

const TYPES: Readonly<Record<AddedOutput['type'], MessageType<Message>>> = {
  file: EncodedFileOutput,
  segments: SegmentedFileOutput,
  stream: StreamOutput,
  images: ImageOutput,
};

/** @throws TwirpError unless exactly one output is there, in LiveKit's JSON */
function outputOf(body: z.infer<typeof addOutputSchema>): AddedOutput {
  const { name: type, json } = exactlyOne(body, Object.keys(TYPES) as AddedOutput['type'][], 'output');
  if (body.hls !== undefined && type !== 'segments') {
    throw new TwirpError(
      'invalid_argument',
      'request has missing or invalid field: hls: it is of segments alone',
    );
  }
  const outputId = `EO_${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  return { outputId, type, json: messageFromJson(TYPES[type], json).toJsonString(), fromMs: Date.now() };
}

/** @throws TwirpError where an egress as it is now takes no such output, whatever it says */
function assertTakes({ type }: AddedOutput, plan: EgressPlan): void {
  if (type !== 'stream') return;
  const isStream = (output: EgressPlan['outputs'][number]): boolean => output.type === 'stream';
  if (plan.outputs.some(isStream) && !wantedOutputs(plan).some(isStream)) {
    throw new TwirpError(
      'failed_precondition',
      'a removed stream cannot be added again: start an egress with a stream output beside this one',
    );
  }
}

/** @throws TwirpError, RequestError for an output that cannot be made of what is recorded */
export async function addOutput(
  options: OutputsOptions,
  body: z.infer<typeof addOutputSchema>,
): Promise<JsonObject> {
  const asked = outputOf(body);
  const withHls = (before: EgressPlan): AddedOutput => {
    if (asked.type !== 'segments') return asked;
    const { outputs, storages } = withOutput(before, asked);
    const defaults = options.hls ?? { choice: {}, servesFiles: true };
    const alone = { outputs: outputs.slice(-1), storages };
    return { ...asked, ...addedHls(body.hls ?? {}, alone, before.options.hls, defaults) };
  };
  const record = await withDeadline('the store of egresses', options.store.get(body.egress_id));
  if (record) {
    const before = planOfRecord(record);
    assertTakes(asked, before);
    const { outputs, storages } = withOutput(before, asked);
    const isNew = { outputs: outputs.slice(-1), storages: storages.slice(before.storages.length) };
    await checkPlanned(isNew, options.outbound);
  }
  const changed = await changeRunning(options, body.egress_id, 'given an output', (desired, latest) => {
    const outputs = desired.outputs ?? [];
    if (outputs.length >= MAX_ADDED) {
      throw new TwirpError('resource_exhausted', `at most ${MAX_ADDED} outputs can be added to an egress`);
    }
    const before = planOfRecord({ ...latest, desired });
    assertTakes(asked, before);
    const added = withHls(before);
    const plan = withOutput(before, added);
    const output = plan.outputs.at(-1);
    const urls = output?.type === 'stream' ? output.urls : [];
    return {
      ...desired,
      outputs: [...outputs, added],
      streamUrls: [...new Set([...desired.streamUrls, ...urls])],
    };
  });
  return { output_id: asked.outputId, egress: messageToJson(await applied(options.store, changed)) };
}

/** What was recorded for it until now is finished and stored. @throws TwirpError */
export async function removeOutput(
  options: OutputsOptions,
  { egress_id: id, output_id: outputId }: z.infer<typeof removeOutputSchema>,
): Promise<JsonObject> {
  const atMs = Date.now();
  const changed = await changeRunning(options, id, 'relieved of an output', (desired, record) => {
    const { outputs, spans = [] } = planOfRecord({ ...record, desired });
    const index = spans.findIndex((span) => span.outputId === outputId);
    const found = spans[index];
    if (!found) {
      const known = spans.filter(({ toMs }) => toMs === undefined).map((span) => span.outputId);
      throw new TwirpError(
        'not_found',
        `the egress has no output ${outputId.slice(0, 64)}; it has ${known.join(', ')}`,
      );
    }
    if (found.toMs !== undefined) return desired;
    if (spans.every((span) => span === found || span.toMs !== undefined)) {
      throw new TwirpError('failed_precondition', 'it is the last output: stop the egress with StopEgress');
    }
    return {
      ...desired,
      removedOutputs: { ...desired.removedOutputs, [outputId]: atMs },
      ...(outputs[index]?.type === 'stream' && { streamUrls: [] }),
    };
  });
  return { output_id: outputId, egress: messageToJson(await applied(options.store, changed)) };
}
