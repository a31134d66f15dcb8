import { failureFinding } from '@stowage/core/internal'
import type { Finding } from '@stowage/core/tools'
import { sentinelServers } from '../connection/client-options.ts'
import { ManagedConnection } from '../connection/managed-connection.ts'
import { translate } from '../redis-errors.ts'
import type { RedisOptions, ResolvedOptions } from '../redis-options.ts'
import { during } from './probe.ts'

/** What the Sentinels report. */
export interface SentinelView {
  readonly primary: string | undefined
  readonly replicas: readonly string[]
  readonly findings: readonly Finding[]
}

type Reply = { readonly sentinel: string; readonly primary?: string; readonly error?: unknown }

/** Asks every Sentinel for the primary, and one of them for its replicas. */
export async function readSentinels(
  options: RedisOptions,
  resolved: ResolvedOptions,
): Promise<SentinelView> {
  const { sentinels = [], sentinelName = 'mymaster' } = options
  const connections = sentinelServers(options).map(
    (server) => new ManagedConnection(server, resolved),
  )
  try {
    const replies = await Promise.all(
      connections.map((connection, index) => ask(connection, sentinels[index] ?? '', sentinelName)),
    )
    const primaries = [...new Set(replies.flatMap(({ primary }) => primary ?? []))]
    const first = connections[replies.findIndex(({ primary }) => primary !== undefined)]
    const replicas = first === undefined ? [] : await replicasOf(first, sentinelName)
    const findings = findingsOf(replies, primaries, sentinelName)
    return { primary: primaries[0], replicas, findings }
  } finally {
    for (const connection of connections) void connection.close()
  }
}

async function ask(connection: ManagedConnection, sentinel: string, name: string): Promise<Reply> {
  try {
    const reply = await during(connection, () =>
      connection.client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name),
    )
    return Array.isArray(reply) ? { sentinel, primary: reply.join(':') } : { sentinel }
  } catch (error) {
    return { sentinel, error: translate(connection.commandFailed(error), 'ping') }
  }
}

async function replicasOf(connection: ManagedConnection, name: string): Promise<string[]> {
  const reply = await during(connection, () =>
    connection.client.call('SENTINEL', 'REPLICAS', name),
  ).catch(() => [])
  // The first field is the name, which is the address.
  return (reply as unknown[]).map((fields) => String((fields as unknown[])[1]))
}

function findingsOf(
  replies: readonly Reply[],
  primaries: readonly string[],
  name: string,
): Finding[] {
  const findings = replies.flatMap(({ sentinel, primary, error }): Finding[] => {
    if (error !== undefined) return [failureFinding(sentinel, error)]
    if (primary !== undefined) return []
    const problem = `The Sentinel monitors no primary named ${name}.`
    const remedy = 'Set REDIS_SENTINEL_NAME to the name in its configuration.'
    return [{ code: 'redis-sentinel-name', severity: 'error', subject: sentinel, problem, remedy }]
  })
  if (primaries.length < 2) return findings
  const problem = `The Sentinels report different primaries: ${primaries.join(', ')}.`
  const remedy = 'Wait until a failover has ended, or check the network between the Sentinels.'
  const subject = name
  return [
    ...findings,
    { code: 'redis-sentinels-disagree', severity: 'error', subject, problem, remedy },
  ]
}
