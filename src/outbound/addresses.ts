/** Which IP addresses are not for everybody: what they are, and the network that holds them. Pure. */
import { BlockList, isIP } from 'node:net';

interface SpecialNetwork {
  cidr: string;
  /** For people: `a private network`. */
  what: string;
}

/** IANA's special-purpose registries (RFC 6890), multicast, and what wraps an IPv4 address in an IPv6 one. */
const SPECIAL: readonly SpecialNetwork[] = [
  { cidr: '0.0.0.0/8', what: 'unspecified' },
  { cidr: '10.0.0.0/8', what: 'private' },
  { cidr: '100.64.0.0/10', what: 'carrier-grade NAT' },
  { cidr: '127.0.0.0/8', what: 'loopback' },
  { cidr: '169.254.0.0/16', what: 'link-local (metadata services live there)' },
  { cidr: '172.16.0.0/12', what: 'private' },
  { cidr: '192.0.0.0/24', what: 'reserved' },
  { cidr: '192.0.2.0/24', what: 'reserved' },
  { cidr: '192.88.99.0/24', what: 'reserved' },
  { cidr: '192.168.0.0/16', what: 'private' },
  { cidr: '198.18.0.0/15', what: 'reserved' },
  { cidr: '198.51.100.0/24', what: 'reserved' },
  { cidr: '203.0.113.0/24', what: 'reserved' },
  { cidr: '224.0.0.0/4', what: 'multicast' },
  { cidr: '240.0.0.0/4', what: 'reserved' },
  { cidr: '::/128', what: 'unspecified' },
  { cidr: '::1/128', what: 'loopback' },
  { cidr: '::/96', what: 'reserved' },
  { cidr: '64:ff9b::/96', what: 'IPv4 translated' },
  { cidr: '64:ff9b:1::/48', what: 'IPv4 translated' },
  { cidr: '100::/64', what: 'reserved' },
  { cidr: '2001::/23', what: 'reserved' },
  { cidr: '2001:db8::/32', what: 'reserved' },
  { cidr: '2002::/16', what: '6to4' },
  { cidr: 'fc00::/7', what: 'unique local' },
  { cidr: 'fe80::/10', what: 'link-local' },
  { cidr: 'fec0::/10', what: 'site-local' },
  { cidr: 'ff00::/8', what: 'multicast' },
];

const LISTS = SPECIAL.map((network) => ({ ...network, list: networkList([network.cidr]) }));

/** @throws TypeError when one is no `address/prefix` or single address */
export function networkList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address);
    if (family === 0) throw new TypeError(`${network} is not a network such as 192.168.1.0/24 or fd00::/8`);
    list.addSubnet(
      address,
      prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix),
      family === 6 ? 'ipv6' : 'ipv4',
    );
  }
  return list;
}

export function inNetworks(list: BlockList, address: string): boolean {
  const plain = plainAddress(address);
  return list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

/** The special network that holds the address, undefined for one that everybody may reach. */
export function specialNetwork(address: string): SpecialNetwork | undefined {
  const plain = plainAddress(address);
  if (isIP(plain) === 0) return { cidr: address, what: 'not an IP' };
  const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
  // BlockList takes IPv4 for mapped IPv6 and so finds `::/96` in nothing but IPv6.
  const found = LISTS.find(
    ({ cidr, list }) => cidr.includes(':') === (family === 'ipv6') && list.check(plain, family),
  );
  return found && { cidr: found.cidr, what: found.what };
}

/** Without a zone (`%eth0`), and an IPv4-mapped address (`::ffff:127.0.0.1`, `::ffff:7f00:1`) as the IPv4 address it is. */
export function plainAddress(address: string): string {
  const [bare = ''] = address.replace(/^\[|\]$/g, '').split('%');
  if (isIP(bare) !== 6) return bare;
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!mapped) return canonical;
  const [high, low] = [parseInt(mapped[1] ?? '', 16), parseInt(mapped[2] ?? '', 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
