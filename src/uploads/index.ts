export { Uploads } from './uploads.ts';
export type { UploadsOptions } from './uploads.ts';
export { backupPrefix, isRefusal } from './attempt.ts';
export { keepFolder } from './notes.ts';
export type { UploadOutcome } from './waiting.ts';
export type {
  FileUpload,
  SegmentsStored,
  SegmentsUpload,
  Stored,
  Upload,
  UploadTiming,
  UploadWork,
} from './types.ts';
