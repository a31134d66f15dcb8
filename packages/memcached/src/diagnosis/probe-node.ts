import type { CacheError } from '@stowage/core'
import { clockSkewFinding, failureFinding } from '@stowage/core/internal'
import type { Finding, ServerReport } from '@stowage/core/tools'
import type { Connection } from '../connection/connection.ts'
import { translate } from '../memcached-errors.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { Node, type NodeOptions } from '../nodes/node.ts'
import { ServerError, status } from '../protocol/protocol.ts'

const pings = 5
/** The server's clock has whole seconds, and may tick once per second. */
const clockErrorMs = 2_000

export interface NodeProbe {
  readonly server: ServerReport
  readonly findings: readonly Finding[]
}

interface Target {
  readonly address: NodeAddress
  /** Share of the keys, from 0 to 1. */
  readonly share: number
  readonly holdsSessions: boolean
}

/** Connects to a node, measures the round trip and reads its statistics. Never rejects. */
export async function probeNode(target: Target, options: NodeOptions): Promise<NodeProbe> {
  const address = nodeName(target.address)
  const share = `${(target.share * 100).toFixed(1)} %`
  const node = new Node(target.address, options)
  try {
    const connection = await node.connect()
    const latencyMs = await medianPing(connection)
    const sentAt = performance.now()
    const statistics = await connection.statistics('ping')
    const roundTripMs = performance.now() - sentAt
    return {
      server: {
        address,
        role: 'node',
        isReachable: true,
        latencyMs,
        facts: { version: connection.serverVersion, share, ...factsOf(statistics) },
      },
      findings: [
        ...clockFindings(address, statistics, roundTripMs),
        ...(target.holdsSessions ? evictionFindings(address, statistics) : []),
      ],
    }
  } catch (error) {
    const server = { address, role: 'node', isReachable: false, facts: { share } }
    const failure = await failureInText(translate(error, 'ping'), target, options)
    return { server, findings: [failureOf(address, failure, share)] }
  } finally {
    void node.close().catch(() => {})
  }
}

/**
 * A server of another kind may wait for the end of a line, and not reply to the binary protocol. Resolves to its failure in
 * the text protocol then, and to the failure that is known otherwise.
 */
async function failureInText(
  failure: CacheError,
  { address }: Target,
  options: NodeOptions,
): Promise<CacheError> {
  if (failure.code !== 'ERR_CACHE_TIMEOUT') return failure
  const node = new Node(address, { ...options, protocol: 'meta' })
  try {
    await node.connect()
    return failure
  } catch (error) {
    return translate(error, 'ping')
  } finally {
    void node.close().catch(() => {})
  }
}

async function medianPing(connection: Connection): Promise<number> {
  const times: number[] = []
  for (let count = 0; count < pings; count++) {
    const startedAt = performance.now()
    await connection.noop('ping')
    times.push(performance.now() - startedAt)
  }
  return times.sort((a, b) => a - b)[pings >> 1] as number
}

function factsOf(statistics: ReadonlyMap<string, string>): Record<string, string> {
  const [used, limit] = ['bytes', 'limit_maxbytes'].map((name) => Number(statistics.get(name)))
  const memory = `${toMiB(used)}/${toMiB(limit)}`
  return { memory, evictions: statistics.get('evictions') ?? '0' }
}

function toMiB(bytes = 0): string {
  return `${Math.round(bytes / 1024 / 1024)}M`
}

function clockFindings(
  address: string,
  statistics: ReadonlyMap<string, string>,
  roundTripMs: number,
): Finding[] {
  const serverTime = Number(statistics.get('time')) * 1_000
  if (Number.isNaN(serverTime)) return []
  return [clockSkewFinding(address, serverTime, clockErrorMs + roundTripMs) ?? []].flat()
}

function evictionFindings(subject: string, statistics: ReadonlyMap<string, string>): Finding[] {
  const count = Number(statistics.get('evictions'))
  if (!(count > 0)) return []
  const problem = `The node has evicted ${count} items that had not expired: sessions are lost.`
  const remedy =
    'Raise its memory limit (-m), or store sessions on Redis or DynamoDB: SESSION_DRIVER.'
  return [{ code: 'eviction', severity: 'warning', subject, problem, remedy }]
}

function failureOf(subject: string, error: CacheError, share: string): Finding {
  const { cause } = error
  if (cause instanceof ServerError && cause.status === status.unauthorized) {
    const problem = 'The server rejects the user or the password.'
    const remedy = 'Check MEMCACHED_USERNAME and MEMCACHED_PASSWORD.'
    return { code: 'authentication', severity: 'error', subject, problem, remedy }
  }
  if (error.code === 'ERR_CACHE_CONFIG') {
    const remedy = 'Use the address of a memcached server.'
    return failureFinding(subject, error, { code: 'memcached-protocol', remedy })
  }
  const reason = (cause as Error | undefined)?.message ?? error.message
  const problem = `The node is down (${reason}), and ${share} of the keys with it.`
  const remedy =
    'Start it, or remove it from MEMCACHED_SERVERS. CACHE_MEMCACHED_ON_NODE_DOWN=miss makes its keys misses for the cache.'
  return { code: 'memcached-node-down', severity: 'error', subject, problem, remedy }
}
