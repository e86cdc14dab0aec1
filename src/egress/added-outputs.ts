/** Outputs that come and go while an egress runs: what they may be, and their place in its plan. Pure. */
import {
  EncodedFileOutput,
  ImageOutput,
  SegmentedFileOutput,
  StreamOutput as StreamRequest,
} from '@livekit/protocol';
import type { AddedOutput, EgressDesired } from '../store/types.ts';
import { containerFor } from './plan/codecs.ts';
import { isForImages } from './plan/images.ts';
import type { EgressOutput, EgressPlan, FileOutput, OutputSpan } from './plan/types.ts';
import { invalid } from './request/errors.ts';
import { encodedOutputs } from './request/outputs.ts';
import { StorageList } from './request/storage.ts';

/** Ids of the request's own outputs: `file`, `segments`, `stream`, `images`, `images-2`. */
function ownIds(outputs: readonly EgressOutput[]): string[] {
  const seen = new Map<string, number>();
  return outputs.map(({ type }) => {
    const count = (seen.get(type) ?? 0) + 1;
    seen.set(type, count);
    return count === 1 ? type : `${type}-${count}`;
  });
}

function parse({ type, json }: Pick<AddedOutput, 'type' | 'json'>, storages: StorageList): EgressOutput {
  const options = { ignoreUnknownFields: true };
  const [output] = encodedOutputs(
    {
      fileOutputs: type === 'file' ? [EncodedFileOutput.fromJsonString(json, options)] : [],
      segmentOutputs: type === 'segments' ? [SegmentedFileOutput.fromJsonString(json, options)] : [],
      streamOutputs: type === 'stream' ? [StreamRequest.fromJsonString(json, options)] : [],
      imageOutputs: type === 'images' ? [ImageOutput.fromJsonString(json, options)] : [],
    },
    storages,
  );
  if (!output) throw invalid('output', 'name one output');
  return output;
}

/** What kind of file the log that is being written can become. */
function fileOf(file: FileOutput, plan: EgressPlan): FileOutput {
  if (plan.outputs.some((output) => output.type === 'file' && output.fileType === 'auto')) {
    if (file.fileType === 'auto') return file;
    throw invalid('file_type', "the egress records a track's own codec: leave it out");
  }
  const inTs = containerFor(plan) === 'mpegts';
  const kinds: FileOutput['fileType'][] = inTs
    ? plan.video
      ? ['mp4']
      : ['mp4', 'ogg', 'mp3']
    : plan.outputs.flatMap((output) => (output.type === 'file' ? [output.fileType] : []));
  const [natural = 'mp4'] = kinds;
  const fileType = file.fileType === 'auto' ? natural : file.fileType;
  if (!kinds.includes(fileType)) {
    throw invalid(
      'file_type',
      `what is recorded goes into ${kinds.join(' or ').toUpperCase()}, not ${fileType}`,
    );
  }
  return { ...file, fileType };
}

/** @throws RequestError where it does not go together with what is being recorded */
function fitting(output: EgressOutput, plan: EgressPlan): EgressOutput {
  if (output.type !== 'images' && isForImages(plan)) {
    throw invalid(
      output.type,
      'the egress makes images alone, of two pictures a second without sound: start another one for it',
    );
  }
  const isTrack = plan.outputs.some((each) => each.type === 'file' && each.fileType === 'auto');
  switch (output.type) {
    case 'file':
      return fileOf(output, plan);
    case 'images':
      if (plan.video === null) throw invalid('images', 'there is no picture to make images of');
      return output;
    case 'segments':
    case 'stream':
      if (isTrack || containerFor(plan) !== 'mpegts') {
        throw invalid(
          output.type,
          'the egress records codecs that go into files alone; start it as a track composite, or without encoding options',
        );
      }
      if (output.type === 'stream' && plan.outputs.some(({ type }) => type === 'stream')) {
        throw invalid('stream', 'the egress has a stream output already: add URLs to it with UpdateStream');
      }
      if (output.type === 'stream' && output.protocol === 'websocket') {
        throw invalid('stream.protocol', 'a WebSocket cannot be added; start the egress with it');
      }
      return output;
  }
}

/**
 * The plan with one more output at its end.
 * @throws RequestError that says why it cannot be
 */
export function withOutput(plan: EgressPlan, added: AddedOutput): EgressPlan {
  const storages = new StorageList();
  storages.plans.push(...plan.storages);
  const asked = fitting(parse(added, storages), plan);
  const { segmentType = 'mpegts', lowLatency = false, partDuration = 0 } = added;
  const output = asked.type === 'segments' ? { ...asked, segmentType, lowLatency, partDuration } : asked;
  const own = plan.spans ?? ownIds(plan.outputs).map((outputId): OutputSpan => ({ outputId }));
  return {
    ...plan,
    outputs: [...plan.outputs, output],
    storages: storages.plans,
    spans: [...own, { outputId: added.outputId, fromMs: added.fromMs }],
  };
}

/** The plan of the request with what was added to it since and what was taken away. */
export function withRunningOutputs(
  plan: EgressPlan,
  { outputs = [], removedOutputs = {} }: Pick<EgressDesired, 'outputs' | 'removedOutputs'>,
): EgressPlan {
  const grown = outputs.reduce(withOutput, plan);
  const spans = grown.spans ?? ownIds(grown.outputs).map((outputId): OutputSpan => ({ outputId }));
  return {
    ...grown,
    ownOutputs: plan.outputs.length,
    spans: spans.map((span) => {
      const toMs = removedOutputs[span.outputId];
      return toMs === undefined ? span : { ...span, toMs };
    }),
  };
}

/** Those that have not been taken away. */
export function wantedOutputs({ outputs, spans }: Pick<EgressPlan, 'outputs' | 'spans'>): EgressOutput[] {
  return outputs.filter((_, index) => spans?.[index]?.toMs === undefined);
}

/** As it was asked for at first: what is added changes nothing about how an egress records. */
export function asRequested(plan: EgressPlan): EgressPlan {
  return { ...plan, outputs: plan.outputs.slice(0, plan.ownOutputs ?? plan.outputs.length) };
}
