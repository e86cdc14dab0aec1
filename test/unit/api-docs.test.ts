import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { TWIRP_STATUS } from '../../src/api/errors.ts';
import { EgressService } from '../../src/api/egress-service.ts';
import { IngressService } from '../../src/api/ingress-service.ts';
import { KNOWN_RPCS } from '../../src/api/known-rpcs.ts';
import { RoomService } from '../../src/api/room-service.ts';

const docs = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');

/** A `###` section. */
function section(title: string): string {
  const [, rest] = docs.split(`### ${title}\n`);
  if (rest === undefined) throw new Error(`docs/api.md has no section ${title}`);
  return rest.split(/\n#{2,3} /)[0] ?? '';
}

/** Methods need no dependencies to be listed; none is called here. */
const services = [
  new RoomService(undefined as never),
  new EgressService(undefined as never),
  new IngressService(undefined as never),
];

describe('docs/api.md', () => {
  it.each(services.map(({ name, methods }) => [name, Object.keys(methods)] as const))(
    'says of %s what is built and what is not',
    (name, built) => {
      const rows = new Map(
        [...section(name).matchAll(/^\| `(\w+)` \|(.*)$/gm)].map(([, rpc, text]) => [rpc, text]),
      );
      expect([...rows.keys()].filter((rpc) => KNOWN_RPCS[name]?.includes(rpc!)).sort()).toEqual(
        [...(KNOWN_RPCS[name] ?? [])].sort(),
      );
      for (const rpc of KNOWN_RPCS[name] ?? []) {
        expect([rpc, /(^|\|)\s*unimplemented\s*\|$/.test(rows.get(rpc) ?? '')]).toEqual([
          rpc,
          !built.includes(rpc),
        ]);
      }
      for (const rpc of built) expect(KNOWN_RPCS[name]).toContain(rpc);
    },
  );

  it('names every other RPC as not there yet', () => {
    const text = section('Not there yet');
    for (const [service, rpcs] of Object.entries(KNOWN_RPCS)) {
      if (services.some(({ name }) => name === service)) continue;
      const row = new RegExp(`^\\| ${service} \\| (.*) \\|$`, 'm').exec(text)?.[1];
      expect(row?.split(', ')).toEqual(rpcs.map((rpc) => `\`${rpc}\``));
    }
  });

  it('has every code with its status', () => {
    const rows = [...section('Errors').matchAll(/^\| (\d{3}) \| (.*) \|$/gm)].flatMap(([, status, codes]) =>
      [...codes!.matchAll(/`(\w+)`/g)].map(([, code]) => [code, Number(status)] as const),
    );
    for (const [code, status] of Object.entries(TWIRP_STATUS)) expect(rows).toContainEqual([code, status]);
  });
});
