// Optimisers and schedules, as `optim.*`.
export { AdamW, type AdamWGroup, type AdamWOptions, type AdamWState, type Parameters } from "./adamw.ts";
export type { Bucket, BucketEntry, BucketSettings } from "./bucket.ts";
export { clipGradNorm } from "./clip.ts";
export { constant, cosine, linear, type Schedule, type ScheduleOptions, wsd } from "./schedule.ts";
