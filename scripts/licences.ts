/**
 * Writes docs/licences.md: the licences of everything that is installed with Sluice. Fails when an npm package has one
 * that is not on the list below.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainModule } from './main-module.ts';

/** SPDX ids of licences that ask for no more than their notice to be kept. */
export const ALLOWED: ReadonlySet<string> = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
]);

export interface LicensedPackage {
  name: string;
  version: string;
  /** An SPDX expression; empty when the package does not say. */
  licence: string;
}

interface Manifest {
  license?: string | { type?: string };
  licenses?: { type?: string }[];
}
interface LockedPackage extends Manifest {
  version?: string;
  dev?: boolean;
}

/** Whether an SPDX expression of ids, AND, OR and parentheses is met by what is allowed. */
export function isAllowed(expression: string): boolean {
  const choices = expression.replaceAll(/[()]/g, '').split(' OR ');
  return choices.some((choice) => choice.split(' AND ').every((id) => ALLOWED.has(id.trim())));
}

/**
 * What is installed for production.
 * @param manifest the package.json at a path of the lock file: older ones have their licence nowhere else
 */
export function productionPackages(
  lock: { packages: Record<string, LockedPackage> },
  manifest: (path: string) => Manifest,
): LicensedPackage[] {
  const found = new Map<string, LicensedPackage>();
  for (const [path, locked] of Object.entries(lock.packages)) {
    if (path === '' || locked.dev === true) continue;
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const version = locked.version ?? '';
    const licence = licenceOf(locked) || licenceOf(manifest(path));
    found.set(`${name}@${version}`, { name, version, licence });
  }
  const key = ({ name, version }: LicensedPackage): string => `${name} ${version}`;
  return [...found.values()].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function licenceOf({ license, licenses }: Manifest): string {
  const one = typeof license === 'string' ? license : license?.type;
  return one ?? (licenses ?? []).map(({ type = '' }) => type).join(' OR ');
}

const HEAD = `# Licences

Sluice itself is under the Apache License 2.0. This page lists what is installed with it.
\`node scripts/licences.ts\` writes it; a test fails when it is out of date, or when an npm package comes with a licence
that asks for more than its notice to be kept.

## System packages

Sluice brings none of these along: \`./sluice\` and the Dockerfile install them from Debian or Ubuntu. Licences are those
of Debian 12's builds, as their \`copyright\` files have them.

| Package | Used for | Licence |
| --- | --- | --- |
| \`ffmpeg\` | muxing, RTMP and SRT out, URL sources in | LGPL-2.1+, built with \`--enable-gpl\`: as a whole GPL-2+ |
| \`libx264\` (with \`gstreamer1.0-plugins-ugly\` and \`ffmpeg\`) | H.264 encoding | GPL-2+ |
| GStreamer core, \`-plugins-base\`, \`-good\`, \`-bad\`, \`-ugly\`, \`-nice\` | pipelines | LGPL-2+ and LGPL-2.1+; single plugins link GPL libraries, x264enc among them |
| \`gstreamer1.0-libav\` | decoders of FFmpeg in pipelines | LGPL-2+, with Debian's FFmpeg behind it GPL-2+ |
| \`gjs\` | runs the pipeline programs | MIT, parts LGPL-2.1+, MPL and BSD-3-Clause |
| \`redis-server\` 7.0 | jobs and state | BSD-3-Clause; later versions of Redis have other licences |
| \`chromium\` (with \`xvfb\`, \`pulseaudio\`) | run as programs, for web pages and templates | BSD-3-Clause and others (MIT; LGPL-2.1) |
| \`nginx\` and others | tests only | not needed to run Sluice |

### What the GPL parts mean for you

Sluice's code is not made from GPL code. It runs \`ffmpeg\` as a program of its own, and its pipeline programs let
GStreamer load x264's plugin at run time. The GPL asks nothing of somebody who only uses these programs, a service for
others included. It asks something of whoever passes them on: if you give an image or an appliance with Sluice and these
packages to somebody else, you have to offer the source of the GPL and LGPL packages in it under their licences
(Debian's source packages are that), and must not forbid what these licences allow. The Apache License 2.0 goes together
with version 3 of the GPL, and so with "version 2 or later". x264's authors also sell other terms. Patents on H.264 and
AAC are a matter apart, which no licence here covers. This paragraph is information, not legal advice.

## mediasoup's worker

\`mediasoup-worker\` is a program of the npm package mediasoup (ISC) with libraries linked into it: OpenSSL, Abseil and
FlatBuffers (Apache-2.0), libuv and unordered_dense (MIT), libsrtp and parts of libwebrtc (BSD-3-Clause).

## npm packages

`;

/** The page. */
export function licencesPage(packages: readonly LicensedPackage[]): string {
  const counts = new Map<string, number>();
  for (const { licence } of packages) counts.set(licence, (counts.get(licence) ?? 0) + 1);
  const summary = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const rows = packages.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`);
  return [
    `${HEAD}${packages.length} packages are installed for production, those for other platforms included: ` +
      `${summary.map(([licence, count]) => `${count} ${licence}`).join(', ')}.`,
    '',
    '| Package | Version | Licence |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

const PAGE = fileURLToPath(new URL('../docs/licences.md', import.meta.url));

/** The packages of this checkout. */
export function installedPackages(): LicensedPackage[] {
  const root = new URL('../', import.meta.url);
  const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, root), 'utf8'));
  return productionPackages(
    read('package-lock.json') as { packages: Record<string, LockedPackage> },
    (path) =>
      existsSync(new URL(`${path}/package.json`, root)) ? (read(`${path}/package.json`) as Manifest) : {},
  );
}

if (isMainModule(import.meta.url)) {
  const packages = installedPackages();
  writeFileSync(PAGE, licencesPage(packages));
  const refused = packages.filter(({ licence }) => !isAllowed(licence));
  for (const { name, version, licence } of refused) {
    process.stdout.write(`${name} ${version}: ${licence || 'no licence'} is not on the list\n`);
  }
  process.exitCode = refused.length > 0 ? 1 : 0;
}
