/**
 * Known weaknesses of npm packages, as `npm audit` tells them: fails when there are any. A registry that does not
 * answer audits (mirrors often do not) is no failure, but it is said.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isMainModule } from './main-module.ts';

export interface Finding {
  name: string;
  severity: string;
  range: string;
  titles: string[];
}

/** What came of an audit. */
export type Audit =
  { kind: 'answered'; packages: number; findings: Finding[] } | { kind: 'unanswered'; why: string };

interface Report {
  auditReportVersion?: number;
  message?: string;
  statusCode?: number;
  error?: { summary?: string; code?: string };
  metadata?: { dependencies?: { total?: number } };
  vulnerabilities?: Record<
    string,
    { name: string; severity: string; range: string; via: (string | { title?: string })[] }
  >;
}

/** @param json what `npm audit --json` wrote to its standard output */
export function readAudit(json: string): Audit {
  let report: Report;
  try {
    report = JSON.parse(json) as Report;
  } catch {
    return { kind: 'unanswered', why: 'npm wrote no report' };
  }
  if (report.vulnerabilities === undefined || report.auditReportVersion === undefined) {
    // Not the message: it names the registry.
    const { statusCode, error } = report;
    return {
      kind: 'unanswered',
      why: statusCode === undefined ? (error?.code ?? 'no report') : `status ${statusCode}`,
    };
  }
  const findings = Object.values(report.vulnerabilities).map(({ name, severity, range, via }) => ({
    name,
    severity,
    range,
    titles: via.map((each) => (typeof each === 'string' ? `through ${each}` : (each.title ?? 'untitled'))),
  }));
  return { kind: 'answered', packages: report.metadata?.dependencies?.total ?? 0, findings };
}

/** What is printed, and whether it is a failure. */
export function describeAudit(audit: Audit): { text: string; failed: boolean } {
  if (audit.kind === 'unanswered') {
    return { text: `NOT CHECKED: the registry did not answer the audit (${audit.why})`, failed: false };
  }
  const { packages, findings } = audit;
  if (findings.length === 0) return { text: `no known weaknesses in ${packages} packages`, failed: false };
  const lines = findings.map(
    ({ name, severity, range, titles }) => `${severity}: ${name} ${range}: ${titles.join('; ')}`,
  );
  return { text: lines.join('\n'), failed: true };
}

if (isMainModule(import.meta.url)) {
  const { stdout } = spawnSync('npm', ['audit', '--json', '--no-update-notifier'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
    timeout: 60_000,
  });
  const { text, failed } = describeAudit(readAudit(stdout));
  process.stdout.write(`${text}\n`);
  process.exitCode = failed ? 1 : 0;
}
