import { isIP } from 'node:net'
import { replicaOptions, sentinelServers } from '../connection/client-options.ts'
import { replicaTimeoutShare } from '../connection/connection.ts'
import { ManagedConnection } from '../connection/managed-connection.ts'
import type { RedisOptions, ResolvedOptions } from '../redis-options.ts'
import type { ReplicaSource } from './replicated-topology.ts'

/** Replicas at fixed addresses. @throws CacheError `ERR_CACHE_CONFIG` for an invalid address */
export function fixedReplicas(
  replicas: readonly string[],
  options: RedisOptions,
  resolved: ResolvedOptions,
): ReplicaSource {
  for (const replica of replicas) replicaOptions(options, replica)
  const addresses = replicas.flatMap((address) =>
    Array<string>(resolved.replicaConnections).fill(address),
  )
  return { ...connector(options, resolved), fixed: addresses, addresses: () => addresses }
}

/** The replicas that the Sentinels report as healthy. */
export function sentinelReplicas(options: RedisOptions, resolved: ResolvedOptions): ReplicaSource {
  const sentinels = sentinelServers(options).map(
    (server) => new ManagedConnection(server, resolved),
  )
  const { sentinelName = 'mymaster' } = options
  return {
    ...connector(options, resolved),
    fixed: [],
    addresses: () => querySentinels(sentinels, sentinelName),
    close: async () => {
      await Promise.all(sentinels.map((sentinel) => sentinel.close()))
    },
  }
}

function connector(options: RedisOptions, resolved: ResolvedOptions) {
  const timeoutMs = resolved.timeoutMs * replicaTimeoutShare
  return {
    connect: (replica: string) =>
      new ManagedConnection(replicaOptions(options, replica), { ...resolved, timeoutMs }),
    isHostname: (replica: string) => isIP(replicaOptions(options, replica).host ?? '') === 0,
  }
}

/** Returns the reply of the first Sentinel that is reachable. @throws the error of the last one if none is */
async function querySentinels(
  sentinels: readonly ManagedConnection[],
  name: string,
): Promise<string[]> {
  let failure: unknown
  for (const sentinel of sentinels) {
    try {
      await sentinel.ready()
      sentinel.beginCommand()
      try {
        const replicas = await sentinel.client.call('SENTINEL', 'REPLICAS', name)
        return healthyReplicas(replicas as unknown[])
      } finally {
        sentinel.endCommand()
      }
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

/** https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#sentinel-commands */
function healthyReplicas(replicas: readonly unknown[]): string[] {
  const addresses: string[] = []
  for (const replica of replicas) {
    const { ip, port, flags } = toRecord(replica)
    if (ip === undefined || /down|disconnected|master/.test(flags ?? '')) continue
    addresses.push(`${ip.includes(':') ? `[${ip}]` : ip}:${port}`)
  }
  return addresses
}

/** RESP2 returns names and values in a flat array, RESP3 returns a map. */
function toRecord(replica: unknown): Readonly<Record<string, string | undefined>> {
  if (!Array.isArray(replica)) return replica as Record<string, string>
  const pairs: [string, string][] = []
  for (let index = 0; index < replica.length; index += 2) {
    pairs.push([String(replica[index]), String(replica[index + 1])])
  }
  return Object.fromEntries(pairs)
}
