import { Redis } from 'ioredis'

/** The state of one server, queried directly and not through the store. */
export interface ServerState {
  readonly name: string
  readonly address: string
  /** `'link down'`: the replica responds, but is not connected to its primary. */
  readonly status: 'up' | 'link down' | 'down'
  /** The value of the key on this server. */
  readonly value: string | undefined
  /** Bytes of the replication stream that this server has not applied yet. */
  readonly bytesBehind: number | undefined
}

interface Server {
  readonly name: string
  readonly address: string
  readonly client: Redis
}

/** Queries each server through a separate connection. The application itself reads through its caches. */
export class ServerInspector {
  readonly #servers: readonly Server[]

  /** `url` is the primary. The replicas are `host:port`, with the user, password and TLS of `url`. */
  constructor(url: string, replicas: readonly string[]) {
    const primary = new URL(url)
    const urls = replicas.map((address) => Object.assign(new URL(url), { host: address }))
    this.#servers = [primary, ...urls].map((each, index) => ({
      name: index === 0 ? 'Primary' : `Replica ${index}`,
      address: `${each.hostname}:${each.port || 6379}`,
      client: createClient(each),
    }))
  }

  /** The name of the server with this address, as the page shows it. */
  nameOf(address: string | undefined): string {
    const server = this.#servers.find((each) => each.address === address)
    return server?.name ?? address ?? 'no server'
  }

  /** The states of all servers, the primary first. */
  async inspect(key: string): Promise<ServerState[]> {
    const results = await Promise.all(this.#servers.map((server) => query(server, key)))
    const written = results[0]?.offset
    return results.map(({ offset: applied, ...state }) => {
      const known = written !== undefined && applied !== undefined
      return { ...state, bytesBehind: known ? Math.max(0, written - applied) : undefined }
    })
  }

  close(): void {
    for (const { client } of this.#servers) client.disconnect()
  }
}

function createClient(url: URL): Redis {
  const client = new Redis(url.href, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    commandTimeout: 500,
    retryStrategy: () => 200,
  })
  client.on('error', () => {})
  return client
}

async function query({ name, address, client }: Server, key: string) {
  try {
    const [info, value] = await Promise.all([client.info('replication'), client.get(key)])
    const status = /^master_link_status:down/m.test(info) ? 'link down' : 'up'
    return { name, address, status, value: value ?? undefined, offset: offsetOf(info) } as const
  } catch {
    return { name, address, status: 'down', value: undefined, offset: undefined } as const
  }
}

/** The replication offset: of a replica what it has applied, of a primary what it has written. */
function offsetOf(info: string): number | undefined {
  const offset = /^(?:slave_repl_offset|master_repl_offset):(\d+)/m.exec(info)?.[1]
  return offset === undefined ? undefined : Number(offset)
}
