import { OutputError } from '../errors.ts';

/** A stream URL that cannot be used. @param why does not repeat the URL */
export const unsupportedUrl = (why: string): OutputError => new OutputError('unsupported', why);
