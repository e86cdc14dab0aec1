/** Option `limits`: how long and how large outputs may become. */
import { z } from 'zod';

/** 30 days. */
const MAX_SECONDS = 30 * 86_400;
/** Smaller files than this hold no second of anything, bytes. */
const LEAST_BYTES = 10_000;

const seconds = z.number().min(1).max(MAX_SECONDS);
const lasting = z.strictObject({ max_duration: seconds.exactOptional() });

/** Option `limits` of a request. `max_duration`: seconds from the egress's start. `max_size`: bytes. */
export const limitsSchema = z.strictObject({
  file: z
    .strictObject({
      max_duration: seconds.exactOptional(),
      max_size: z.number().int().min(LEAST_BYTES).exactOptional(),
    })
    .exactOptional(),
  segments: lasting.exactOptional(),
  stream: lasting.exactOptional(),
  images: lasting.exactOptional(),
});

export type Limits = z.infer<typeof limitsSchema>;
