import { Redis } from 'ioredis'

/** What a server says when it is asked directly, past the store. */
export interface ServerState {
  readonly name: string
  readonly address: string
  /** `'cut off'`: it answers, and is not in touch with its primary. */
  readonly status: 'up' | 'cut off' | 'away'
  /** What lies under the key there. */
  readonly value: string | undefined
  /** Bytes of changes the primary has made and this server has not applied. */
  readonly behind: number | undefined
}

interface Server {
  readonly name: string
  readonly address: string
  readonly client: Redis
}

/** The servers one by one, to be looked at; the application reads through its caches. */
export class Servers {
  readonly #servers: readonly Server[]

  /** `url` leads to the primary; the replicas, as `host:port`, have the same user, password and TLS. */
  constructor(url: string, replicas: readonly string[]) {
    const primary = new URL(url)
    const urls = replicas.map((address) => Object.assign(new URL(url), { host: address }))
    this.#servers = [primary, ...urls].map((each, index) => ({
      name: index === 0 ? 'Primary' : `Replica ${index}`,
      address: `${each.hostname}:${each.port || 6379}`,
      client: clientOf(each),
    }))
  }

  /** What the page calls the server at that address. */
  nameOf(address: string | undefined): string {
    return this.#servers.find((server) => server.address === address)?.name ?? address ?? 'nobody'
  }

  /** The primary first. */
  async look(key: string): Promise<ServerState[]> {
    const answers = await Promise.all(this.#servers.map((server) => ask(server, key)))
    const offset = answers[0]?.offset
    return answers.map(({ offset: applied, ...state }) => {
      const known = offset !== undefined && applied !== undefined
      return { ...state, behind: known ? Math.max(0, offset - applied) : undefined }
    })
  }

  close(): void {
    for (const { client } of this.#servers) client.disconnect()
  }
}

function clientOf(url: URL): Redis {
  const client = new Redis(url.href, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    commandTimeout: 500,
    retryStrategy: () => 200,
  })
  client.on('error', () => {})
  return client
}

async function ask({ name, address, client }: Server, key: string) {
  try {
    const [info, value] = await Promise.all([client.info('replication'), client.get(key)])
    const status = /^master_link_status:down/m.test(info) ? 'cut off' : 'up'
    return { name, address, status, value: value ?? undefined, offset: offsetOf(info) } as const
  } catch {
    return { name, address, status: 'away', value: undefined, offset: undefined } as const
  }
}

/** Of a replica how much it has applied, of a primary how much there is. */
function offsetOf(info: string): number | undefined {
  const offset = /^(?:slave_repl_offset|master_repl_offset):(\d+)/m.exec(info)?.[1]
  return offset === undefined ? undefined : Number(offset)
}
