import { isIP } from 'node:net'
import { isPort, type NodeAddress, nodeName } from '../node-address.ts'

/** What an ElastiCache cluster, or one of Memorystore, tells of itself. */
export interface Configuration {
  /** Rises with every change of the membership, and only then: a node replaced in place keeps it. */
  readonly version: number
  readonly nodes: readonly NodeAddress[]
}

/** A server that is asked for its configuration and has none answers with one of these. */
const refusals: ReadonlySet<string> = new Set(['ERROR', 'END'])
/** Many times what the largest cluster needs: 60 nodes of 100 bytes. */
const maxReplyBytes = 65_536
const lineEnd = '\r\n'

/**
 * The text in the reply to `config get cluster`, or to `get AmazonElastiCache:cluster`. `undefined` while it is not
 * complete, `null` when the server has none.
 * https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoDiscovery.AddingToYourClientLibrary.html
 *
 * @throws Error for anything else
 */
export function textOf(reply: Buffer): string | null | undefined {
  if (reply.length > maxReplyBytes) throw new Error('the answer is too long for a configuration')
  const start = reply.indexOf(lineEnd)
  if (start < 0) return undefined
  const line = reply.toString('latin1', 0, start)
  if (refusals.has(line)) return null
  const [, bytes] = /^(?:CONFIG|VALUE) \S+ \d+ (\d+)$/.exec(line) ?? []
  if (bytes === undefined) throw new Error('the answer is no configuration')
  return blockOf(reply.subarray(start + lineEnd.length), Number(bytes))
}

/** Ends where its length says. Memorystore's emulator says a wrong one, but ends its last line in any case. */
function blockOf(rest: Buffer, bytes: number): string | undefined {
  const counted = rest.indexOf(lineEnd, bytes) === bytes
  const end = counted ? bytes : rest.indexOf(`\n${lineEnd}`)
  return end < 0 ? undefined : rest.toString('utf8', 0, end)
}

/**
 * Reads `<version>\n<host>|<ip>|<port> <host>|<ip>|<port>`.
 *
 * @throws Error unless every node is understood, and there is one at least
 */
export function parseConfiguration(text: string): Configuration {
  const [version = '', ...parts] = text.trim().split(/\s+/)
  if (!/^\d{1,15}$/.test(version)) throw new Error('the configuration has no version')
  const nodes = parts.map(parseNode)
  if (nodes.length === 0) throw new Error('the configuration has no nodes')
  if (new Set(nodes.map(nodeName)).size < nodes.length) {
    throw new Error('the configuration has the same node twice')
  }
  return { version: Number(version), nodes }
}

function parseNode(text: string): NodeAddress {
  const [host, ip, digits = '', ...more] = text.split('|').map(withoutBrackets)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  if (!host || ip === undefined || !isPort(port) || more.length > 0) {
    throw new Error('the configuration has a node that is not host|ip|port')
  }
  // Where the cluster speaks TLS, the name stands in place of the address: the certificate is for the name.
  return isIP(ip) === 0 || ip === host ? { host, port } : { host, port, ip }
}

function withoutBrackets(text: string): string {
  return text.replace(/^\[(.*)\]$/, '$1')
}
