import { isIP } from 'node:net'
import { OwnConnection, replicaTimeShare } from '../connection/connection.ts'
import {
  type RedisOptions,
  type ResolvedOptions,
  replicaOptions,
  sentinelServers,
} from '../redis-options.ts'
import type { ReplicaSource } from './replicated-topology.ts'

/** Replicas at addresses that are given. */
export function fixedReplicas(
  replicas: readonly string[],
  options: RedisOptions,
  resolved: ResolvedOptions,
): ReplicaSource {
  // Checked before anything connects.
  for (const replica of replicas) replicaOptions(options, replica)
  const addresses = replicas.flatMap((address) =>
    Array<string>(resolved.replicaConnections).fill(address),
  )
  return { ...connecting(options, resolved), addresses: () => addresses }
}

/** Replicas the Sentinels know of and hold to be well. */
export function sentinelReplicas(options: RedisOptions, resolved: ResolvedOptions): ReplicaSource {
  const sentinels = sentinelServers(options).map((server) => new OwnConnection(server, resolved))
  const { sentinelName = 'mymaster' } = options
  return {
    ...connecting(options, resolved),
    addresses: () => askInTurn(sentinels, sentinelName),
    close: async () => {
      await Promise.all(sentinels.map((sentinel) => sentinel.close()))
    },
  }
}

function connecting(options: RedisOptions, resolved: ResolvedOptions) {
  const timeoutMs = resolved.timeoutMs * replicaTimeShare
  return {
    connect: (replica: string) =>
      new OwnConnection(replicaOptions(options, replica), { ...resolved, timeoutMs }),
    isName: (replica: string) => isIP(replicaOptions(options, replica).host ?? '') === 0,
  }
}

/** @throws when none of the Sentinels answers */
async function askInTurn(sentinels: readonly OwnConnection[], name: string): Promise<string[]> {
  let failure: unknown
  for (const sentinel of sentinels) {
    try {
      await sentinel.ready()
      sentinel.begin()
      try {
        return wellOnes((await sentinel.client.call('SENTINEL', 'REPLICAS', name)) as unknown[])
      } finally {
        sentinel.end()
      }
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

/** https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#sentinel-commands */
function wellOnes(replicas: readonly unknown[]): string[] {
  const addresses: string[] = []
  for (const replica of replicas) {
    const { ip, port, flags } = fields(replica)
    if (ip === undefined || /down|disconnected|master/.test(flags ?? '')) continue
    addresses.push(`${ip.includes(':') ? `[${ip}]` : ip}:${port}`)
  }
  return addresses
}

/** Names and values in turn, whichever version of the protocol. */
function fields(replica: unknown): Readonly<Record<string, string | undefined>> {
  if (!Array.isArray(replica)) return replica as Record<string, string>
  const pairs: [string, string][] = []
  for (let index = 0; index < replica.length; index += 2) {
    pairs.push([String(replica[index]), String(replica[index + 1])])
  }
  return Object.fromEntries(pairs)
}
