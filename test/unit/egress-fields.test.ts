/** Every option of every request either works or is refused with a message that says so. */
import { EgressInfo, EgressStatus, RoomEgress } from '@livekit/protocol';
import type { Message } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { AutoEgress } from '../../src/api/auto-egress.ts';
import { EgressService } from '../../src/api/egress-service.ts';
import { toTwirpError } from '../../src/api/errors.ts';
import { planEgress } from '../../src/egress/plan/plan.ts';
import { RequestError } from '../../src/egress/request/errors.ts';
import { storeRequest } from '../../src/egress/request/types.ts';
import type { StartRequest } from '../../src/egress/request/types.ts';
import { quiet } from '../support/callers.ts';
import { variants } from '../support/message-fields.ts';
import type { Variant } from '../support/message-fields.ts';
import { CHANGES, ROOM_EGRESS, SAMPLES, STARTS, STREAMING } from '../support/request-samples.ts';

const context = { egressId: 'EG_test' };

/** Of a field, or a value of it, in some of the requests: where that holds, and why. */
interface Entry {
  of: RegExp;
  /** What it is about: the request's kind, and the field with its value. */
  why: string;
}

/** What changes nothing in a plan, and where it takes effect. */
const NOT_IN_THE_PLAN: readonly Entry[] = [
  { of: /^(?!.*sound).* (Encoded)?FileOutput\.file_type=MP4$/, why: 'a picture gets MP4 without' },
  { of: /StreamOutput\.protocol=RTMP$/, why: "the sample's; holds URLs to it: egress-plan-streams.test.ts" },
  { of: /SegmentedFileOutput\.protocol=HLS_PROTOCOL$/, why: 'the default, and the only one' },
  { of: /ImageOutput\.image_codec=IC_JPEG$/, why: 'the default, and the only one' },
  { of: /^(?!.*sound).* EncodingOptions\.audio_codec=AAC$/, why: 'what MP4 gets without' },
  { of: /sound alone: .*EncodingOptions\.audio_codec=OPUS$/, why: 'what OGG gets without' },
  { of: /sound alone: file_outputs\.file_type .*=OGG$/, why: 'what sound alone is without' },
  { of: /sound alone: file\.file_type .*=MP4$/, why: 'what sound alone is beside segments' },
  { of: /RoomComposite, .* alone: .*\.advanced$/, why: 'an empty one, where there is nothing to be copied' },
  { of: /RoomComposite, sound alone: .*\.preset=/, why: 'the sound of every preset is that of none' },
  { of: /RoomComposite, picture alone: .*\.preset=H264_720P_30$/, why: 'the default' },
  { of: /EncodingOptions\.video_codec=H264_MAIN$/, why: 'the default' },
  {
    of: /\.webhooks$/,
    why: 'the outbox reads them of the stored request: test/integration/webhooks.test.ts',
  },
  { of: /WebhookConfig\./, why: 'as webhooks' },
  { of: /FilterParams\./, why: 'as webhooks' },
];

/** What is refused by its name. Everything else has to work wherever there is a field for it. */
const REFUSED: readonly Entry[] = [
  { of: /\.(gcp|azure|aliOSS)$/, why: 'S3 and its like, and local folders' },
  { of: /^(?!.*sound).* (Encoded)?FileOutput\.file_type=(OGG|MP3)$/, why: 'they hold no picture' },
  { of: /^(?!.*sound).* EncodingOptions\.audio_codec=AC_MP3$/, why: 'MP3 goes into no MP4' },
  { of: /EncodingOptions\.(depth|audio_quality|video_quality)$/, why: '24 bits; the others are deprecated' },
  { of: /picture alone: .* EncodingOptions\.audio_/, why: 'nothing is heard' },
  {
    of: /sound alone: .* EncodingOptions\.(width|height|framerate|video_|key_frame)/,
    why: 'nothing is seen',
  },
  { of: /(Room|Web|Track|Participant|template: |web: ).*\.preset=PASSTHROUGH$/, why: 'it does not encode' },
  { of: /sound alone: .*\.(image_outputs|video_only)$/, why: 'nothing is seen' },
  { of: /picture alone: .*\.(audio_only|audio_mixing=.*)$/, why: 'nothing is heard' },
  { of: /participant_kind=(CONNECTOR|BRIDGE)$/, why: 'they do not exist here' },
  { of: /StreamOutput\.protocol=(SRT|WEBSOCKET)$/, why: 'the sample is RTMP: egress-plan-streams.test.ts' },
  { of: /CreateRoom: .*RoomCompositeEgressRequest\.room_name$/, why: 'it is the one that is created' },
  { of: /v2 web: .*StartEgressRequest\.room_name$/, why: 'a page is in no room' },
];

type Outcome = { made: string } | { refusal: string };

async function outcome(make: (message: Message) => unknown, message: Message): Promise<Outcome> {
  try {
    return { made: JSON.stringify(await make(message)) };
  } catch (error) {
    if (error instanceof RequestError) return { refusal: `${error.field} ${error.message}` };
    return { refusal: toTwirpError(error).message };
  }
}

/** Entries that were needed. */
const needed = new Set<Entry>();

function entryOf(table: readonly Entry[], text: string): Entry | undefined {
  const entry = table.find(({ of }) => of.test(text));
  if (entry) needed.add(entry);
  return entry;
}

/** What is wrong with how a field is treated; undefined when nothing is. */
async function problem(
  kind: string,
  { name, path, field, ...messages }: Variant,
  make: (message: Message) => unknown,
): Promise<string | undefined> {
  const [before, after] = [await outcome(make, messages.without), await outcome(make, messages.with)];
  const text = `${kind}: ${path} ${name}`;
  if ('refusal' in before) {
    // Part of what was refused as a whole.
    const whole = path
      .split('.')
      .slice(0, -1)
      .find((part) => before.refusal.includes(part));
    return whole === undefined ? `${text} is never looked at: ${before.refusal}` : undefined;
  }
  if ('refusal' in after) {
    if (!after.refusal.includes(field)) return `${text} is refused without its name: ${after.refusal}`;
    return entryOf(REFUSED, text) ? undefined : `${text} is refused: ${after.refusal}`;
  }
  const same = NOT_IN_THE_PLAN.find(({ of }) => of.test(text));
  if (after.made === before.made) {
    return entryOf(NOT_IN_THE_PLAN, text) ? undefined : `${text} is ignored`;
  }
  return same ? `${text} changes the plan, and its entry says it does not` : undefined;
}

async function problems(kind: string, root: Message, make: (message: Message) => unknown): Promise<string[]> {
  const before = await outcome(make, root);
  if ('refusal' in before) throw new Error(`the request itself is refused: ${before.refusal}`);
  const found: string[] = [];
  const all = [...variants(root, SAMPLES)];
  expect(all.length).toBeGreaterThan(1);
  for (const variant of all) {
    const wrong = await problem(kind, variant, make);
    if (wrong !== undefined) found.push(wrong);
  }
  return found;
}

const plan = (request: Message) => planEgress(request as StartRequest, context);

/** What a CreateRoom would start. */
async function roomPlans(message: Message): Promise<unknown> {
  const plans: unknown[] = [];
  const check = (request: StartRequest) => Promise.resolve(plans.push(planEgress(request, context)));
  const start = () => Promise.reject(new Error('nothing is started'));
  const auto = new AutoEgress({ sfu: { on: () => () => undefined }, start, check, logger: quiet });
  if (!(message instanceof RoomEgress)) throw new TypeError('a RoomEgress is wanted');
  await auto.check(message, 'demo');
  return plans;
}

/** What the service asks of the store, and answers: there is one running egress, with a stream. */
async function asked(request: Message): Promise<unknown> {
  const calls: unknown[] = [];
  const info = new EgressInfo({ egressId: 'EG_test', status: EgressStatus.EGRESS_ACTIVE });
  const record = {
    ...storeRequest(STREAMING),
    ...{ egressId: 'EG_test', roomName: 'demo', info, attempt: 0, appliedRevision: 0 },
    desired: { revision: 0, streamUrls: STREAMING.streamOutputs[0]?.urls },
  };
  const store = {
    get: (egressId: string) => {
      calls.push(['get', egressId]);
      return Promise.resolve(record);
    },
    list: (filter: unknown) => {
      calls.push(['list', filter]);
      // More than a page.
      const items = Array.from({ length: 150 }, (_, at) => new EgressInfo({ egressId: `EG_${at}` }));
      return Promise.resolve(items);
    },
    changeDesired: (egressId: string, change: (desired: unknown) => unknown) => {
      calls.push(['change', egressId, change(record.desired)]);
      return Promise.resolve(record);
    },
  };
  const options = {
    store,
    sfu: { room: () => undefined },
    outbound: { policy: { resolve: () => Promise.resolve([]) } },
  };
  const service = new EgressService(options as never);
  const method = Object.values(service.methods).find(({ input }) => input === request.getType());
  const claims = { video: { roomRecord: true } };
  const answer = await method?.call(request, { claims, logger: quiet } as never);
  return [calls, answer?.toJson()];
}

describe('every field of a request works, or is refused by its name', () => {
  it.each(STARTS)('%s', async (kind, request) => {
    expect(await problems(kind, request, plan)).toEqual([]);
  });

  it('CreateRoom', async () => {
    expect(await problems('CreateRoom', ROOM_EGRESS, roomPlans)).toEqual([]);
  });

  it.each(CHANGES)('%s', async (kind, request) => {
    expect(await problems(kind, request, asked)).toEqual([]);
  });

  it('with no exception that nothing needs', () => {
    expect([...NOT_IN_THE_PLAN, ...REFUSED].filter((entry) => !needed.has(entry))).toEqual([]);
  });
});
