/** Pure, streaming looks into what comes in. */
export { FlvInspector } from './flv.ts';
export { reorders, readAvcConfig } from './h264.ts';
export { inspect } from './inspect.ts';
export type { Inspected, InspectOptions } from './inspect.ts';
export { MkvInspector } from './matroska.ts';
export type { InputDescription, StreamInspector } from './types.ts';
