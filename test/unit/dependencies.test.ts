/** What is installed with Sluice: its licences, and its known weaknesses. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { describeAudit, readAudit } from '../../scripts/audit.ts';
import { installedPackages, isAllowed, licencesPage, productionPackages } from '../../scripts/licences.ts';

describe('licences', () => {
  const packages = installedPackages();

  test('docs/licences.md is what scripts/licences.ts writes', () => {
    const page = readFileSync(new URL('../../docs/licences.md', import.meta.url), 'utf8');
    expect(page, 'run: node scripts/licences.ts').toBe(licencesPage(packages));
  });

  test('every npm package has one that asks for no more than its notice', () => {
    expect(packages.length).toBeGreaterThan(100);
    expect(packages.map(({ name }) => name)).toEqual(expect.arrayContaining(['mediasoup', 'fastify', 'ws']));
    expect(packages.filter(({ licence }) => !isAllowed(licence))).toEqual([]);
  });

  test.each([
    ['MIT', true],
    ['(Apache-2.0 AND BSD-3-Clause)', true],
    ['(MIT OR GPL-3.0)', true],
    ['(MIT AND GPL-3.0)', false],
    ['GPL-2.0-or-later', false],
    ['UNLICENSED', false],
    ['', false],
  ])('%j allowed: %j', (expression, allowed) => {
    expect(isAllowed(expression)).toBe(allowed);
  });

  test('packages for development are none of them; old ones say theirs in their own manifest', () => {
    const lock = {
      packages: {
        '': { version: '1' },
        'node_modules/dev': { version: '1', dev: true, license: 'GPL-3.0' },
        'node_modules/a/node_modules/@b/c': { version: '2' },
      },
    };
    expect(productionPackages(lock, () => ({ licenses: [{ type: 'MIT' }] }))).toEqual([
      { name: '@b/c', version: '2', licence: 'MIT' },
    ]);
  });
});

describe('npm audit', () => {
  const report = (vulnerabilities: object) =>
    JSON.stringify({
      auditReportVersion: 2,
      vulnerabilities,
      metadata: { vulnerabilities: { total: 0 }, dependencies: { prod: 1, total: 300 } },
    });

  test('nothing found', () => {
    expect(describeAudit(readAudit(report({})))).toEqual({
      text: 'no known weaknesses in 300 packages',
      failed: false,
    });
  });

  test('findings fail, and are printed', () => {
    const found = {
      ws: {
        ...{
          name: 'ws',
          severity: 'high',
          range: '8.0.0 - 8.17.0',
          isDirect: true,
          nodes: ['node_modules/ws'],
        },
        via: [{ source: 1, title: 'DoS by many headers' }, 'other'],
      },
    };
    expect(describeAudit(readAudit(report(found)))).toEqual({
      text: 'high: ws 8.0.0 - 8.17.0: DoS by many headers; through other',
      failed: true,
    });
  });

  test.each([
    [
      '{"message": "405 Method Not Allowed - POST ...", "statusCode": 405, "error": {"summary": ""}}',
      'status 405',
    ],
    ['{"error": {"code": "ENOTFOUND", "summary": "..."}}', 'ENOTFOUND'],
    ['', 'npm wrote no report'],
  ])('a registry that does not answer is said, and no failure: %s', (json, why) => {
    expect(describeAudit(readAudit(json))).toEqual({
      text: `NOT CHECKED: the registry did not answer the audit (${why})`,
      failed: false,
    });
  });
});
