import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, type CacheOptions, type CacheStore } from '@stowage/core'
import { dynamodb, ensureTable } from '@stowage/dynamodb'
import { memcached } from '@stowage/memcached'
import { redis } from '@stowage/redis'
import { Sessions } from '@stowage/sessions'
import { isFullTier, sharedDynamoDB, startMemcached, startRedis } from '@stowage/test-servers'
import { afterAll, describe, expect, test } from 'vitest'
import { sendText } from '../../packages/memcached/test/send-text.ts'

const defaultRequests = 1_000
/** Commands per request that are tolerated beyond those that are necessary. */
const tolerance = 1.05

interface Server {
  readonly store: CacheStore
  readonly options?: CacheOptions
  /** @default 1000 */
  readonly requests?: number
  /** How many commands the server has received. */
  count(): Promise<number>
  stop(): Promise<unknown>
}

const servers: Server[] = []
afterAll(() => Promise.all(servers.map((server) => server.stop())))

/** Servers that count the commands that arrive. */
const starts: Record<string, () => Promise<Server>> = {
  Redis: async () => {
    const server = await startRedis()
    const store = redis({ url: server.url, timeout: '20s' })
    const count = async () => {
      const text = await sendText(server.port, 'INFO commandstats')
      const calls = (command: string) =>
        Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(text)?.[1] ?? 0)
      // A script calls GET and SET itself.
      return calls('get') + calls('set') - calls('evalsha')
    }
    return { store, count, stop: server.stop }
  },
  memcached: async () => {
    const server = await startMemcached()
    const count = async () => {
      const stats = await sendText(server.port, 'stats')
      const read = (name: string) => Number(new RegExp(`STAT ${name} (\\d+)`).exec(stats)?.[1])
      return read('cmd_get') + read('cmd_set') + read('cmd_touch')
    }
    const store = memcached({ servers: [server.address], timeout: '20s' })
    // Without the ids of generations, which a write confirms in the same round trip.
    return { store, options: { generations: false }, count, stop: server.stop }
  },
}

starts.DynamoDB = async () => {
  const table = 'commands'
  const { url, env, stop } = await sharedDynamoDB()
  Object.assign(process.env, env)
  const counter = await startCounter(url)
  const timeouts = { timeout: '20s', requestTimeout: '20s' } as const
  const options = { table, endpoint: counter.url, region: env.AWS_REGION, ...timeouts }
  await ensureTable(options)
  const stopBoth = () => Promise.all([counter.stop(), stop()])
  const store = dynamodb(options)
  const count = async () => counter.count()
  // It executes one request after the other.
  return { store, options: { generations: false }, requests: 200, count, stop: stopBoth }
}

/** Passes requests on, and counts them. */
async function startCounter(target: string) {
  let requests = 0
  const agent = new Agent({ keepAlive: true })
  const server = createServer((incoming, response) => {
    requests++
    const { method = 'POST', url = '/', headers } = incoming
    const outgoing = request(new URL(url, target), { method, headers, agent }, (reply) => {
      response.writeHead(reply.statusCode ?? 500, reply.headers)
      reply.pipe(response)
    })
    incoming.pipe(outgoing)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  }
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, count: () => requests, stop }
}

const tested = Object.keys(starts).filter((name) => isFullTier || name === 'Redis')

describe.each(tested)('%s', (name) => {
  test('a request that reads needs one command, a login one, and one that writes two', async () => {
    const server = await (starts[name] as () => Promise<Server>)()
    servers.push(server)
    const { requests = defaultRequests } = server
    const cache = new Cache(server.store, { prefix: 'session:', ttl: '1d', ...server.options })
    const sessions = new Sessions({ cache })
    await sessions.create('warm-up', {})
    await sessions.update(
      'warm-up',
      Object.assign((await sessions.read('warm-up')) ?? {}, { n: 0 }),
    )
    const costOf = async (request: (index: number) => Promise<unknown>) => {
      const before = await server.count()
      for (let index = 0; index < requests; index++) await request(index)
      return ((await server.count()) - before) / requests
    }
    const logins = await costOf((index) => sessions.create(`id${index}`, { user: index }))
    const reads = await costOf(async (index) => {
      const session = (await sessions.read(`id${index}`)) as Record<string, unknown>
      return sessions.touch(`id${index}`, session)
    })
    const writes = await costOf(async (index) => {
      const session = (await sessions.read(`id${index}`)) as Record<string, unknown>
      session.n = index
      return sessions.update(`id${index}`, session)
    })
    expect(logins).toBeLessThanOrEqual(1 * tolerance)
    expect(reads).toBeLessThanOrEqual(1 * tolerance)
    expect(writes).toBeLessThanOrEqual(2 * tolerance)
    expect([logins, reads, writes].every((cost) => cost > 0.9)).toBe(true)
    await cache.close()
  })
})
