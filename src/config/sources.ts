/** Where values come from: one YAML file, then environment variables over it. Nothing is validated here. */
import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, relative, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { KEY_NAMES, KEYS, environmentName } from './keys.ts';
import type { KeyName } from './keys.ts';
import { nearest } from './suggest.ts';

/** A value as it was written, and where. */
export interface RawValue {
  readonly value: unknown;
  /** For messages: `config/sluice.yaml` or `the environment`. */
  readonly from: string;
}

export type RawValues = Map<KeyName, RawValue>;

/**
 * Variables that start with SLUICE_ and are no keys: the file's name, and what the project's own scripts, tests and
 * benchmarks use.
 */
const OTHER_VARIABLES = /^SLUICE_(CONFIG$|CACHE|TEST_|BENCH_|DEBUG_)/;

/** Kubernetes puts these into every pod of a namespace that has a Service whose name starts with `sluice`. */
const SERVICE_LINKS = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$/;

/** Values that all aliases of a file may stand for: a few lines of them can mean more than there is memory for. */
const MAX_ALIASES = 100;

/** The file to read: as named (must exist), else config/sluice.yaml (may be missing). */
export function findFile(
  named: string | undefined,
  cwd: string,
  problems: string[],
): { path: string; shown: string } | undefined {
  const path = resolve(cwd, named ?? 'config/sluice.yaml');
  const inside = relative(cwd, path);
  const shown = inside.startsWith('..') || isAbsolute(inside) ? path : inside;
  if (existsSync(path)) return { path, shown };
  if (named !== undefined) problems.push(`the file ${shown} (SLUICE_CONFIG) does not exist`);
  return undefined;
}

/** Adds the file's values. */
export function readFileValues(
  file: { path: string; shown: string },
  into: RawValues,
  problems: string[],
): void {
  let source: string;
  try {
    source = readFileSync(file.path, 'utf8');
  } catch (error) {
    problems.push(
      `the file ${file.shown} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`,
    );
    return;
  }
  const lines = new LineCounter();
  // Warnings would go past the log. Without prettyErrors: those quote the source, and the source holds secrets.
  const document = parseDocument(source, { prettyErrors: false, lineCounter: lines, logLevel: 'error' });
  for (const error of document.errors) {
    const { line, col } = lines.linePos(error.pos[0]);
    problems.push(`${file.shown}, line ${line}, column ${col}: not valid YAML (${explain(error.code)})`);
  }
  if (document.errors.length > 0) return;
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    // The library's word for aliases that multiply, or that name nothing.
    if (!(error instanceof ReferenceError)) throw error;
    problems.push(
      `${file.shown}: its aliases cannot be followed: each must name an anchor before it, ` +
        `and together they must not stand for more than ${MAX_ALIASES} values`,
    );
    return;
  }
  flatten(values, '', file.shown, into, problems);
}

function explain(code: string): string {
  return code.toLowerCase().replaceAll('_', ' ');
}

function flatten(value: unknown, path: string, from: string, into: RawValues, problems: string[]): void {
  if (value === null || value === undefined) return;
  if (isKey(path)) {
    into.set(path, { value, from });
    return;
  }
  if (typeof value !== 'object' || Array.isArray(value)) {
    const children = KEY_NAMES.filter((key) => key.startsWith(`${path}.`));
    problems.push(
      path === ''
        ? `${from} must be a map of keys`
        : `${path} in ${from} must be a map with ${children.map((key) => key.slice(path.length + 1)).join(', ')}`,
    );
    return;
  }
  for (const [name, child] of Object.entries(value)) {
    const childPath = path === '' ? name : `${path}.${name}`;
    if (isKey(childPath) || isSection(childPath)) flatten(child, childPath, from, into, problems);
    else problems.push(unknownKey(childPath, from));
  }
}

function isKey(path: string): path is KeyName {
  return Object.hasOwn(KEYS, path);
}

function isSection(path: string): boolean {
  return KEY_NAMES.some((key) => key.startsWith(`${path}.`));
}

/** Longer names are nobody's slip of a key's. */
const LONGEST_NAME = 100;

function unknownKey(path: string, from: string): string {
  if (path.length > LONGEST_NAME) return `${path.slice(0, 60)}... in ${from}: there is no such key`;
  const sections = KEY_NAMES.flatMap((key) => {
    const parts = key.split('.');
    return parts.slice(0, -1).map((_, depth) => parts.slice(0, depth + 1).join('.'));
  });
  const known = nearest(path, [...KEY_NAMES, ...new Set(sections)]);
  return `${path} in ${from}: there is no such key${known === undefined ? '' : `; did you mean ${known}?`}`;
}

/** Adds the environment's values over those that are there. An empty variable counts as unset. */
export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  into: RawValues,
  problems: string[],
): void {
  const names = new Map(KEY_NAMES.map((key) => [environmentName(key), key]));
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('SLUICE_') || text === undefined || text === '') continue;
    const key = names.get(name);
    if (key !== undefined) {
      into.set(key, { value: KEYS[key].fromText(text), from: 'the environment' });
    } else if (!OTHER_VARIABLES.test(name) && !SERVICE_LINKS.test(name) && !/^(tcp|udp):\/\//.test(text)) {
      const known = nearest(name, [...names.keys(), 'SLUICE_CONFIG']);
      problems.push(
        `${name} in the environment: there is no such key${known === undefined ? '' : `; did you mean ${known}?`}`,
      );
    }
  }
}
