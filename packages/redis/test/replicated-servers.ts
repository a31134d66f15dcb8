import { type RedisOptions, redis } from '@stowage/redis'
import {
  type FaultProxy,
  type Replicated,
  startProxy,
  startReplicated,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll } from 'vitest'

/** A primary and its replicas for the tests of a file. After each one the stores are closed and all is whole again. */
export function replicatedServers() {
  let servers: Replicated
  /** What lies between the primary and its replicas. */
  const wires: FaultProxy[] = []
  const stores: ReturnType<typeof redis>[] = []

  beforeAll(async () => {
    servers = await startReplicated({
      replicateThrough: async (port) => {
        const wire = await startProxy(port)
        wires.push(wire)
        return wire.port
      },
    })
  })

  afterEach(async () => {
    for (const wire of wires) {
      wire.delay(0)
      wire.mute(false)
    }
    for (const { kill } of servers.replicas) kill('SIGCONT')
    await Promise.all(stores.splice(0).map((store) => store.close()))
  })

  afterAll(async () => {
    await servers.stop()
    await Promise.all(wires.map((wire) => wire.stop()))
  })

  const ports = () => servers.replicas.map(({ port }) => port)

  function store(options: RedisOptions = {}) {
    const replicas = ports().map((port) => `127.0.0.1:${port}`)
    const made = redis({ url: servers.primary.url, replicas, ...options })
    stores.push(made)
    return made
  }

  return {
    wires,
    /** Of the replicas. */
    ports,
    store,
    /** What is closed after the test. */
    stores,
    get primary() {
      return servers.primary
    },
    get replicas() {
      return servers.replicas
    },
  }
}
