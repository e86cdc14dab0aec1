/** What is still to be uploaded, as it is kept in Redis and noted beside the media. Holds no credential. */
import type { EgressInfo } from '@livekit/protocol';
import { z } from 'zod';
import type { Storage, StoragePlan } from '../storage/types.ts';
import type { EgressRecord } from '../store/types.ts';

const common = {
  egressId: z.string().regex(/^[A-Za-z0-9_-]+$/),
  /** Index of the output in the egress's plan: with the egress's id, whose upload this is. */
  output: z.number().int().min(0),
  /** Index of the storage in the egress's plan. Its settings are read from the stored request each time. */
  storage: z.number().int().min(0),
  /** It is the service's own storage: that is known also when the request is not any more. */
  own: z.boolean(),
};

/** The chunks that an output is made of, when they are not all of the log: it was added or removed on the way. */
const span = z.object({ fromNs: z.number(), toNs: z.number() });

const fileSchema = z.object({
  ...common,
  kind: z.literal('file'),
  /** What belongs to a recording and is not the recording. */
  part: z.enum(['manifest', 'storyboard']).exactOptional(),
  /** Name in the egress's folder. */
  file: z.string().regex(/^[^/\0]+$/),
  key: z.string(),
  contentType: z.string(),
  bytes: z.number().int().min(0),
});

const segmentsSchema = z.object({
  ...common,
  kind: z.literal('segments'),
  span: span.exactOptional(),
  /** See HlsOptions; what is missing is made of the segment log again. */
  segmentPrefix: z.string(),
  playlistKey: z.string(),
  livePlaylistKey: z.string().optional(),
  suffix: z.enum(['index', 'timestamp']),
  segmentDuration: z.number().positive(),
  /** MPEG-TS where it does not say. */
  segmentType: z.enum(['mpegts', 'fmp4']).optional(),
  /** Of LL-HLS, s: its segments consist of such parts. */
  partDuration: z.number().positive().optional(),
});

const imagesSchema = z.object({
  ...common,
  kind: z.literal('images'),
  span: span.exactOptional(),
  /** Index in EgressInfo's image results. */
  result: z.number().int().min(0),
  /** See ImagesOptions; what is missing is made of the segment log again. */
  prefix: z.string(),
  suffix: z.enum(['index', 'timestamp', 'none']),
  captureInterval: z.number().positive(),
  width: z.number().int().min(0),
  height: z.number().int().min(0),
});

export const uploadSchema = z.discriminatedUnion('kind', [fileSchema, segmentsSchema, imagesSchema]);

/** A finished file on this machine. */
export type FileUpload = z.infer<typeof fileSchema>;
/** A broadcast whose log is on this machine. */
export type SegmentsUpload = z.infer<typeof segmentsSchema>;
/** Images whose log is on this machine. */
export type ImagesUpload = z.infer<typeof imagesSchema>;
/** An output that is to get into its storage. */
export type Upload = z.infer<typeof uploadSchema>;

/** Egress ids have no dots. */
export function uploadId({ egressId, output }: Pick<Upload, 'egressId' | 'output'>): string {
  return `${egressId}.${output}`;
}

/** What an upload is called in logs and in EgressInfo. */
export function uploadName(upload: Upload): string {
  switch (upload.kind) {
    case 'file':
      return upload.key;
    case 'segments':
      return upload.playlistKey;
    case 'images':
      return `${upload.prefix}*.jpeg`;
  }
}

/** Where an upload has got to. */
export interface Stored {
  location: string;
  bytes: number;
  /** In the backup storage and not where it was asked for. */
  backup: boolean;
  segments?: SegmentsStored;
  /** Number of images. */
  images?: number;
}

export interface SegmentsStored {
  segments: number;
  durationNs: number;
  playlistLocation: string;
  livePlaylistLocation: string;
}

/** How long things take, ms. */
export interface UploadTiming {
  /** The end of an egress waits this long for its storage. */
  wait: number;
  firstRetry: number;
  /** Longest pause while a storage is away: what it is to hold is safe nowhere else. */
  maxRetry: number;
  /** The pause while it refuses: somebody has to mend it. */
  refusedRetry: number;
  /** Uploads older than this are not tried again. */
  giveUp: number;
  /** An upload whose process has died is taken up after this. */
  lease: number;
}

export interface UploadTarget {
  storage: Storage;
  /** Put in front of every key. */
  prefix: string;
  logDir: string;
  signal: AbortSignal;
}

/** What differs between kinds of output: the uploads know files and storages, and nothing of egresses. */
export interface UploadWork {
  /** Where it was asked to go. @throws Error when the stored request cannot be read */
  planOf(record: EgressRecord, upload: Upload): StoragePlan;
  /** Stores what is missing of a broadcast. @throws StorageError */
  storeSegments(upload: SegmentsUpload, target: UploadTarget): Promise<{ bytes: number } & SegmentsStored>;
  /** Stores what is missing of the images; answers how many there are. @throws StorageError */
  storeImages(upload: ImagesUpload, target: UploadTarget): Promise<number>;
  /** Writes the outcome into the info of the ended egress; undefined: given up. */
  amend(info: EgressInfo, upload: Upload, stored: Stored | undefined): void;
}
