import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { type ConfigurationEndpoint, configurationEndpoint } from '@stowage/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AppProcess, type Variables } from './app-process.ts'
import { eventually } from './eventually.ts'
import { outcomeOf, Visitor } from './visitor.ts'

let servers: MemcachedServer[]

beforeAll(async () => {
  servers = await Promise.all(Array.from({ length: 4 }, () => startMemcached()))
})

afterAll(() => Promise.all(servers?.map((server) => server.stop()) ?? []))

function start(variables: Variables): AppProcess {
  return new AppProcess({
    CACHE_DRIVER: 'memcached',
    SESSION_DRIVER: 'memcached',
    SESSION_SECRET: 'only-for-this-test',
    PRODUCTS_DELAY: '5',
    ...variables,
  })
}

/** A node as a cluster writes it: its name, and the address of a real server. */
function member(index: number): string {
  return `n${index}.cache.test|127.0.0.1|${servers[index]?.port}`
}

/** The nodes the page shows for a role, as `host:port state`. */
async function shown(visitor: Visitor, role: 'cache' | 'session'): Promise<string[]> {
  const { text } = await visitor.get('/status')
  const card = text.split('data-role=').find((part) => part.startsWith(`"${role}"`))
  return [...(card ?? '').matchAll(/data-node="(\S+)" data-state="(\w+)"/g)].map(
    ([, node, state]) => `${node} ${state}`,
  )
}

function named(...indexes: readonly number[]): string[] {
  return indexes.map((index) => `n${index}.cache.test:${servers[index]?.port} up`)
}

describe('a list of nodes', () => {
  let app: AppProcess

  afterAll(() => app?.stop())

  it('is shown for each role, with the server behind each', async () => {
    const addresses = servers.map(({ address }) => address)
    app = start({
      MEMCACHED_SERVERS: addresses.slice(0, 3).join(),
      SESSION_MEMCACHED_SERVERS: addresses[3] as string,
    })
    const visitor = new Visitor(await app.url())
    expect(await shown(visitor, 'cache')).toEqual(addresses.slice(0, 3).map((at) => `${at} up`))
    expect(await shown(visitor, 'session')).toEqual([`${addresses[3]} up`])
    expect((await visitor.get('/status')).text).toMatch(/<small>Memcached 1\.\d+\.\d+/)
  })
})

describe('a configuration endpoint', () => {
  let endpoint: ConfigurationEndpoint
  let app: AppProcess
  let visitor: Visitor

  beforeAll(async () => {
    endpoint = await configurationEndpoint({ nodes: [member(0), member(1)] })
    app = start({ MEMCACHED_CONFIGURATION_ENDPOINT: `127.0.0.1:${endpoint.port}` })
    visitor = new Visitor(await app.url())
  })

  afterAll(async () => {
    await app?.stop()
    await endpoint?.stop()
  })

  it('tells the nodes of both roles', async () => {
    expect(await shown(visitor, 'cache')).toEqual(named(0, 1))
    expect(await shown(visitor, 'session')).toEqual(named(0, 1))
    expect(outcomeOf(await visitor.get('/'))).toBe('miss')
    expect(outcomeOf(await visitor.get('/'))).toBe('hit')
  })

  it('shows which node is down, and goes on with what takes its place, without a restart', async () => {
    await servers[1]?.stop()
    const ill = await eventually(async () => {
      const { text } = await visitor.get('/status')
      return text.includes('data-state="down"') ? text : undefined
    })
    expect(ill).toContain('Some nodes do not answer.')
    expect(ill).toMatch(/class="badge badge-miss">1 of 2 nodes up</)
    endpoint.scale([member(0), member(2), member(3)])
    await eventually(async () => {
      const nodes = await shown(visitor, 'cache')
      return nodes.join() === named(0, 2, 3).join() || undefined
    })
    await visitor.get('/')
    expect(outcomeOf(await visitor.get('/'))).toBe('hit')
    expect((await visitor.get('/healthz')).status).toBe(200)
  })
})

describe('a plain memcached in the place of a cluster', () => {
  it('is the only node, with one notice for both roles', async () => {
    const address = servers[0]?.address as string
    const app = start({ MEMCACHED_CONFIGURATION_ENDPOINT: address })
    const visitor = new Visitor(await app.url())
    await visitor.post('/sign-in', { name: 'Ada' })
    expect((await visitor.get('/account')).text).toContain('<strong data-visits>1</strong>')
    expect(await shown(visitor, 'cache')).toEqual([`${address} up`])
    expect(await app.stop()).toBe(0)
    expect(app.stderr.match(/STOWAGE_MEMCACHED_SINGLE_NODE/g)).toHaveLength(1)
    expect(app.stderr).toContain(`${address} has no cluster configuration`)
  })
})
