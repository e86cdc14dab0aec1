/** Web pages as a source of recordings. */
export { PageEndedEarly, PageError } from './errors.ts';
export type { Surface } from './rig.ts';
export { WebSource } from './source.ts';
export type { WebSourceOptions } from './source.ts';
export { serverUrlOf, templateUrl } from './template.ts';
export type { TemplateQuery } from './template.ts';
export { sweepWorkspaces } from './workspace.ts';
