export { createWebhooks } from './webhooks.ts';
export type { WebhooksOptions } from './webhooks.ts';
export { connectSfuWebhooks, sfuWebhook } from './sfu-events.ts';
export type { WebhookFields, WebhookName, Webhooks, WebhookTiming } from './types.ts';
