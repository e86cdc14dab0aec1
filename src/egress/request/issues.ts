/** What zod finds wrong, in words for whoever wrote the request. Pure. */
import type { z } from 'zod';

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'a text',
};

/** zod's own words for a wrong kind name JavaScript's, `undefined` among them. Never shows the value. */
export function issueText(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type') return issue.message;
  return `it has to be ${KINDS[issue.expected] ?? issue.expected}`;
}
