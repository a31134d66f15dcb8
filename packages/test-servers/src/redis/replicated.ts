import { everyAsync, waitUntil } from '../process/wait-until.ts'
import { commandOrThrow, host } from './redis-client.ts'
import type { RedisServer } from './redis-server.ts'
import type { RedisReply } from './resp.ts'
import { startServerGroup } from './server-group.ts'

// A diskless sync starts after 5 s, and even without that delay the commands follow up to 1 s later. Every server gets
// the setting because a failover turns a replica into a primary.
export const promptSync: readonly string[] = ['--repl-diskless-sync', 'no']

export interface Replicated {
  /** The server that was started as the primary. A failover does not change it. */
  readonly primary: RedisServer
  readonly replicas: RedisServer[]
  /** Stops all servers, also restarted ones. Idempotent. */
  readonly stop: () => Promise<void>
}

export interface ReplicatedOptions {
  /** @default 2 */
  readonly replicas?: number
  /** Further settings of every server as command line arguments. */
  readonly args?: readonly string[]
  /**
   * Called for each replica with the port of the primary. Returns the port to which the replica connects instead, for
   * example that of a proxy. Sentinels reconnect the replicas to the primary itself after some seconds.
   */
  readonly replicateThrough?: (port: number) => Promise<number> | number
}

/** Starts a primary with replicas. Resolves when all replicas are online and have caught up. */
export function startReplicated(options: ReplicatedOptions = {}): Promise<Replicated> {
  const { replicas: count = 2, args = [], replicateThrough } = options
  return startServerGroup(async (group) => {
    const settings = [...promptSync, ...args]
    const primary = await group.start({ args: settings })
    const startReplica = async () => {
      const port = (await replicateThrough?.(primary.port)) ?? primary.port
      return group.start({ args: [...settings, '--replicaof', host, `${port}`] })
    }
    const replicas = await Promise.all(Array.from({ length: count }, startReplica))
    await replicationStarted(primary, replicas)
    return { primary, replicas, stop: group.stop }
  })
}

async function replicationStarted(
  primary: RedisServer,
  replicas: readonly RedisServer[],
): Promise<void> {
  await waitUntil(
    'the primary lists its replicas',
    async () => (await replicaCount(primary.port)) === replicas.length,
  )
  // A replica may be online before it receives commands. A published message makes the replication offset grow and
  // leaves no trace in the data.
  await commandOrThrow(primary.port, 'PUBLISH', 'stowage:ready', '')
  await waitUntil('the replicas have caught up', () =>
    everyAsync(replicas, ({ port }) => hasCaughtUp(primary.port, port)),
  )
}

async function replicaCount(primaryPort: number): Promise<number> {
  const [, , replicas] = (await commandOrThrow(primaryPort, 'ROLE')) as RedisReply[]
  return (replicas as RedisReply[]).length
}

async function hasCaughtUp(primaryPort: number, replicaPort: number): Promise<boolean> {
  const [, sent] = (await commandOrThrow(primaryPort, 'ROLE')) as RedisReply[]
  const [, , , state, applied] = (await commandOrThrow(replicaPort, 'ROLE')) as RedisReply[]
  return state === 'connected' && Number(applied) >= Number(sent)
}
