import { type RedisOptions, redis } from '@stowage/redis'
import {
  command,
  type FaultProxy,
  type Replicated,
  startProxy,
  startReplicated,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll } from 'vitest'

/** Starts a primary and replicas that replicate through proxies. `stop` stops the proxies too. */
export async function startLinked(
  replicas = 2,
): Promise<Replicated & { readonly links: readonly FaultProxy[] }> {
  const links: FaultProxy[] = []
  const replicateThrough = async (port: number) => {
    const link = await startProxy(port)
    links.push(link)
    return link.port
  }
  const servers = await startReplicated({ replicas, replicateThrough })
  const stop = async () => {
    await servers.stop()
    await Promise.all(links.map((link) => link.stop()))
  }
  return { ...servers, links, stop }
}

/** A primary and its replicas for the tests of a file. After each test the stores are closed and all faults removed. */
export function replicatedServers() {
  let servers: Replicated
  const links: FaultProxy[] = []
  const stores: ReturnType<typeof redis>[] = []

  beforeAll(async () => {
    const started = await startLinked()
    servers = started
    links.push(...started.links)
  })

  afterEach(async () => {
    for (const link of links) {
      link.delay(0)
      link.mute(false)
      link.refuse(false)
    }
    for (const { kill } of servers.replicas) kill('SIGCONT')
    await Promise.all(stores.splice(0).map((store) => store.close()))
  })

  afterAll(() => servers.stop())

  const replicaPorts = () => servers.replicas.map(({ port }) => port)

  /** Stops the replication to one replica. */
  async function muteLinkOf(replicaPort: number): Promise<void> {
    const [, , linkPort] = (await command(replicaPort, 'ROLE')) as [string, string, number]
    links.find((link) => link.port === linkPort)?.mute(true)
  }

  function createStore(options: RedisOptions = {}) {
    const replicas = replicaPorts().map((port) => `127.0.0.1:${port}`)
    // Patient: a busy machine must not make a call fail.
    const store = redis({ url: servers.primary.url, replicas, timeout: '10s', ...options })
    stores.push(store)
    return store
  }

  return {
    /** The proxies between the primary and its replicas. */
    links,
    replicaPorts,
    createStore,
    muteLinkOf,
    /** The stores that are closed after the test. */
    stores,
    get primary() {
      return servers.primary
    },
    get replicas() {
      return servers.replicas
    },
  }
}
