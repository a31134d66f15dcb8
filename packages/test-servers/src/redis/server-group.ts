import { type RedisServer, type RedisServerOptions, startRedis } from './redis-server.ts'

/** Servers that are stopped together. */
export interface ServerGroup {
  /** Starts a server of the group. A server that is started by `restart` belongs to the group as well. */
  readonly start: (options: RedisServerOptions) => Promise<RedisServer>
  /** Stops all servers, also those that are still starting. Idempotent. */
  readonly stop: () => Promise<void>
}

/** Calls `setUp`, which starts servers in a group. If it fails, the servers that have started are stopped. */
export async function startServerGroup<T>(setUp: (group: ServerGroup) => Promise<T>): Promise<T> {
  const group = createServerGroup()
  try {
    return await setUp(group)
  } catch (error) {
    await group.stop()
    throw error
  }
}

function createServerGroup(): ServerGroup {
  const servers: Promise<RedisServer>[] = []
  let stopped = false
  const add = async (start: () => Promise<RedisServer>): Promise<RedisServer> => {
    // A start that is retried after another server has failed would leave a server behind.
    if (stopped) throw new Error('the servers of this group are being stopped')
    const server = start().then((started) => ({
      ...started,
      restart: () => add(() => started.restart()),
    }))
    servers.push(server)
    return server
  }
  const stop = async () => {
    stopped = true
    // One server may still be starting when another has failed to start.
    for (const result of await Promise.allSettled(servers))
      if (result.status === 'fulfilled') await result.value.stop()
  }
  return { start: (options) => add(() => startRedis(options)), stop }
}
