export { Uploads } from './uploads.ts';
export type { UploadsOptions } from './uploads.ts';
export { backupPrefix, isRefusal } from './attempt.ts';
export { keepFolder } from './notes.ts';
export type { UploadOutcome } from './waiting.ts';
export { uploadName } from './types.ts';
export type {
  FileUpload,
  ImagesUpload,
  SegmentsStored,
  SegmentsUpload,
  Stored,
  Upload,
  UploadTarget,
  UploadTiming,
  UploadWork,
} from './types.ts';
