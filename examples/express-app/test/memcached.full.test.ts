import {
  type AppProcess,
  eventually,
  type Variables,
  Visitor,
} from '@stowage/example-shared/testing'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { type ConfigurationEndpoint, configurationEndpoint } from '@stowage/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { outcomeOf, startShop } from './shop.ts'

let servers: MemcachedServer[]

beforeAll(async () => {
  servers = await Promise.all(Array.from({ length: 4 }, () => startMemcached()))
})

afterAll(() => Promise.all(servers?.map((server) => server.stop()) ?? []))

function start(variables: Variables): AppProcess {
  return startShop({
    CACHE_DRIVER: 'memcached',
    SESSION_DRIVER: 'memcached',
    SESSION_SECRET: 'only-for-this-test',
    PRODUCTS_DELAY: '5',
    ...variables,
  })
}

/** A node in the format of a cluster configuration, with the address of a real server. */
function clusterNode(index: number): string {
  return `n${index}.cache.test|127.0.0.1|${servers[index]?.port}`
}

/** The nodes of a role on the status page, as `host:port state`. */
async function shownNodes(visitor: Visitor, role: 'cache' | 'session'): Promise<string[]> {
  const { text } = await visitor.get('/status')
  const card = text.split('data-role=').find((part) => part.startsWith(`"${role}"`))
  return [...(card ?? '').matchAll(/data-node="(\S+)" data-state="(\w+)"/g)].map(
    ([, node, state]) => `${node} ${state}`,
  )
}

function upNodes(...indexes: readonly number[]): string[] {
  return indexes.map((index) => `n${index}.cache.test:${servers[index]?.port} up`)
}

describe('a list of nodes', () => {
  let app: AppProcess

  afterAll(() => app?.stop())

  it('is shown for each role, with state and version', async () => {
    const addresses = servers.map(({ address }) => address)
    app = start({
      MEMCACHED_SERVERS: addresses.slice(0, 3).join(),
      SESSION_MEMCACHED_SERVERS: addresses[3] as string,
    })
    const visitor = new Visitor(await app.url())
    expect(await shownNodes(visitor, 'cache')).toEqual(
      addresses.slice(0, 3).map((at) => `${at} up`),
    )
    expect(await shownNodes(visitor, 'session')).toEqual([`${addresses[3]} up`])
    expect((await visitor.get('/status')).text).toMatch(/<small>Memcached 1\.\d+\.\d+/)
  })
})

describe('a configuration endpoint', () => {
  let endpoint: ConfigurationEndpoint
  let app: AppProcess
  let visitor: Visitor

  beforeAll(async () => {
    endpoint = await configurationEndpoint({ nodes: [clusterNode(0), clusterNode(1)] })
    app = start({ MEMCACHED_CONFIGURATION_ENDPOINT: `127.0.0.1:${endpoint.port}` })
    visitor = new Visitor(await app.url())
  })

  afterAll(async () => {
    await app?.stop()
    await endpoint?.stop()
  })

  it('provides the nodes of both roles', async () => {
    expect(await shownNodes(visitor, 'cache')).toEqual(upNodes(0, 1))
    expect(await shownNodes(visitor, 'session')).toEqual(upNodes(0, 1))
    expect(outcomeOf(await visitor.get('/'))).toBe('miss')
    expect(outcomeOf(await visitor.get('/'))).toBe('hit')
  })

  it('shows a node that is down, and uses its replacements without a restart', async () => {
    await servers[1]?.stop()
    const page = await eventually(async () => {
      const { text } = await visitor.get('/status')
      return text.includes('data-state="down"') ? text : undefined
    })
    expect(page).toContain('Some nodes are unavailable.')
    expect(page).toMatch(/class="badge badge-warning">1 of 2 nodes up</)
    endpoint.scale([clusterNode(0), clusterNode(2), clusterNode(3)])
    await eventually(async () => {
      const nodes = await shownNodes(visitor, 'cache')
      return nodes.join() === upNodes(0, 2, 3).join() || undefined
    })
    await visitor.get('/')
    expect(outcomeOf(await visitor.get('/'))).toBe('hit')
    expect((await visitor.get('/health')).status).toBe(200)
  })
})

describe('a memcached server without cluster configuration', () => {
  it('is the only node, with one warning for both roles', async () => {
    const address = servers[0]?.address as string
    const app = start({ MEMCACHED_CONFIGURATION_ENDPOINT: address })
    const visitor = new Visitor(await app.url())
    await visitor.post('/sign-in', { name: 'Ada' })
    expect((await visitor.get('/account')).text).toContain('<strong data-visits>1</strong>')
    expect(await shownNodes(visitor, 'cache')).toEqual([`${address} up`])
    expect(await app.stop()).toBe(0)
    expect(app.stderr.match(/STOWAGE_MEMCACHED_SINGLE_NODE/g)).toHaveLength(1)
    expect(app.stderr).toContain(`${address} has no cluster configuration`)
  })
})
