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
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip) ?? []
  if (mapped !== undefined) return mapped
  const [address = ''] = ip.split('%')
  return isIPv6(address) ? `${groupsOf(address).slice(0, 4).join(':')}::/64` : ip
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
