import { isIPv6 } from 'node:net'

/** An address in brackets, or one with a port: some proxies append that of the client to `X-Forwarded-For`. */
const withPort = /^(?:\[([^\]]*)\](?::\d+)?|([^:]*):\d+)$/

/**
 * Returns what identifies a client by its IP address. Of an IPv6 address, these are the first 64 bits: a client can choose the
 * others itself (RFC 4291, section 2.5.4), and would otherwise have as many limits as it likes. The port is left out: each
 * connection has another one.
 */
export function networkOf(client: string): string {
  const [, ipv6, ipv4] = withPort.exec(client) ?? []
  const ip = ipv6 ?? ipv4 ?? client
  const [address = ''] = ip.split('%')
  if (!isIPv6(address)) return ip
  const groups = groupsOf(address)
  return mappedFrom(groups) ?? `${groups.slice(0, 4).join(':')}::/64`
}

/** The IPv4 address that an IPv6 address maps, if it is one (RFC 4291, section 2.5.5.2). */
function mappedFrom(groups: readonly string[]): string | undefined {
  if (groups.slice(0, 6).join(':') !== '0:0:0:0:0:ffff') return undefined
  const pairs = groups.slice(6).map((group) => Number.parseInt(group, 16))
  return pairs.flatMap((pair) => [pair >>> 8, pair & 0xff]).join('.')
}

/** The eight groups of an IPv6 address, in the spelling of URLs. */
function groupsOf(address: string): string[] {
  const { hostname } = new URL(`http://[${address}]`)
  const [head = [], tail = []] = hostname
    .slice(1, -1)
    .split('::')
    .map((part) => part.split(':').filter(Boolean))
  return [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail]
}
