import { isIP } from 'node:net'
import { isPort, type NodeAddress, nodeName } from '../node-address.ts'

/** The configuration of an ElastiCache cluster or a Memorystore instance. */
export interface Configuration {
  /** Increases when nodes are added or removed. A node that is replaced in place does not change it. */
  readonly version: number
  readonly nodes: readonly NodeAddress[]
}

/** The reply lines of a server that has no configuration. */
const emptyReplies: ReadonlySet<string> = new Set(['ERROR', 'END'])
/** Many times the size of the largest cluster's configuration: 60 nodes of 100 bytes. */
const maxReplyBytes = 65_536
const crlf = '\r\n'

/**
 * Returns the text in the reply to `config get cluster` or `get AmazonElastiCache:cluster`, `undefined` while the reply
 * is incomplete, or `null` if the server has no configuration.
 * https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoDiscovery.AddingToYourClientLibrary.html
 *
 * @throws Error for any other reply
 */
export function readReply(reply: Buffer): string | null | undefined {
  if (reply.length > maxReplyBytes) throw new Error('the reply is too long for a configuration')
  const lineEnd = reply.indexOf(crlf)
  if (lineEnd < 0) return undefined
  const line = reply.toString('latin1', 0, lineEnd)
  if (emptyReplies.has(line)) return null
  const [, length] = /^(?:CONFIG|VALUE) \S+ \d+ (\d+)$/.exec(line) ?? []
  if (length === undefined) throw new Error('the reply is not a configuration')
  return readDataBlock(reply.subarray(lineEnd + crlf.length), Number(length))
}

/**
 * The data block ends after the declared length. Memorystore's emulator declares a wrong length, so the block also ends
 * where its last line does.
 */
function readDataBlock(data: Buffer, declaredBytes: number): string | undefined {
  const isDeclaredEnd = data.indexOf(crlf, declaredBytes) === declaredBytes
  const end = isDeclaredEnd ? declaredBytes : data.indexOf(`\n${crlf}`)
  return end < 0 ? undefined : data.toString('utf8', 0, end)
}

/**
 * Parses `<version>\n<host>|<ip>|<port> <host>|<ip>|<port>`.
 *
 * @throws Error if a node is malformed or listed twice, or if there is no version or no node
 */
export function parseConfiguration(text: string): Configuration {
  const [version = '', ...entries] = text.trim().split(/\s+/)
  if (!/^\d{1,15}$/.test(version)) throw new Error('the configuration has no version')
  const nodes = entries.map(parseNode)
  if (nodes.length === 0) throw new Error('the configuration has no nodes')
  if (new Set(nodes.map(nodeName)).size < nodes.length) {
    throw new Error('the configuration lists the same node twice')
  }
  return { version: Number(version), nodes }
}

function parseNode(entry: string): NodeAddress {
  const [host, ip, digits = '', ...rest] = entry.split('|').map(withoutBrackets)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  if (!host || ip === undefined || !isPort(port) || rest.length > 0) {
    throw new Error('the configuration contains a node that is not host|ip|port')
  }
  // A cluster with TLS lists the host name instead of the IP address, because certificates are issued for the name.
  return isIP(ip) === 0 || ip === host ? { host, port } : { host, port, ip }
}

function withoutBrackets(text: string): string {
  return text.replace(/^\[(.*)\]$/, '$1')
}
