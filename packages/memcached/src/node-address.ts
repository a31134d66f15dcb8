import { isIPv6 } from 'node:net'

export const defaultPort = 11211

/** A memcached server. It is known by `host` and `port`; `ip` may change while it stays the same node. */
export interface NodeAddress {
  readonly host: string
  readonly port: number
  /** Where to connect, if known; otherwise `host` is looked up. */
  readonly ip?: string
  /** Share of the keys, relative to the others; read by `hashing: 'ketama'`. @default 1 */
  readonly weight?: number
}

/** What is wrong with a text that is no address, and what to write instead. */
export const addressRemedy =
  'is no address. Write host, host:port or host:port:weight, and an IPv6 address in brackets: [::1]:11211.'

/**
 * Reads `host`, `host:port` or `host:port:weight`; an IPv6 address stands in brackets, or alone. `undefined` for
 * anything else.
 */
export function parseAddress(text: string): NodeAddress | undefined {
  if (isIPv6(text)) return { host: text, port: defaultPort }
  const parts = /^(?:\[([^\]]*)\]|([^\s:/@|[\]]+))(?::(\d{1,5}))?(?::(\d{1,5}))?$/.exec(text)
  const [, bracketed, name, port, weight] = parts ?? []
  const host = bracketed ?? name
  if (host === undefined || (bracketed !== undefined && !isIPv6(bracketed))) return undefined
  const address = { host, port: port === undefined ? defaultPort : Number(port) }
  if (!isPort(address.port)) return undefined
  return weight === undefined ? address : { ...address, weight: Number(weight) }
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536
}

/** The identity of a node, as people write it. */
export function nodeName({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
