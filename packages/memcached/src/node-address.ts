import { isIPv6 } from 'node:net'

export const defaultPort = 11211

/** A memcached server. `host` and `port` identify it; `ip` may change without making it another node. */
export interface NodeAddress {
  readonly host: string
  readonly port: number
  /** The IP address to connect to. @default the result of looking up `host` */
  readonly ip?: string
  /** Share of the keys, relative to the other nodes. Used by `hashing: 'ketama'` only. @default 1 */
  readonly weight?: number
}

/** The problem and the remedy, for an error message that starts with an invalid address. */
export const addressRemedy =
  'is not an address. Use host, host:port or host:port:weight, with IPv6 addresses in brackets: [::1]:11211.'

/**
 * Parses `host`, `host:port` or `host:port:weight`. An IPv6 address is in brackets, or bare without a port. Returns
 * `undefined` for any other text.
 */
export function parseAddress(text: string): NodeAddress | undefined {
  if (isIPv6(text)) return { host: text, port: defaultPort }
  const match = /^(?:\[([^\]]*)\]|([^\s:/@|[\]]+))(?::(\d{1,5}))?(?::(\d{1,5}))?$/.exec(text)
  const [, bracketed, name, port, weight] = match ?? []
  const host = bracketed ?? name
  if (host === undefined || (bracketed !== undefined && !isIPv6(bracketed))) return undefined
  const address = { host, port: port === undefined ? defaultPort : Number(port) }
  if (!isPort(address.port)) return undefined
  return weight === undefined ? address : { ...address, weight: Number(weight) }
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536
}

/** The identity of a node: `host:port`, with an IPv6 host in brackets. */
export function nodeName({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
