import { createHash } from 'node:crypto'
import { ApolloServer } from '@apollo/server'
import { apolloCache } from '@stowage/bridges/apollo'
import { blobBackend } from '@stowage/bridges/ocache'
import { Cache, CacheError, channels, type ErrorEvent, withBatching } from '@stowage/core'
import { memory } from '@stowage/memory'
import { createBlobStorage, defineCachedFunction, defineCachedHandler } from 'ocache'
import { describe, expect, onTestFinished, test } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

/** The failures of the store that are published until the end of a test. */
function errors(): ErrorEvent[] {
  const events: ErrorEvent[] = []
  const listener = (event: unknown) => void events.push(event as ErrorEvent)
  channels.error.subscribe(listener)
  onTestFinished(() => void channels.error.unsubscribe(listener))
  return events
}

/** A server of GraphQL, which keeps persisted queries in the cache. */
function startApollo(cache: Cache) {
  const server = new ApolloServer({
    typeDefs: 'type Query { me: String }',
    resolvers: { Query: { me: () => 'Ada' } },
    persistedQueries: { cache: apolloCache(cache), ttl: 60 },
  })
  onTestFinished(() => server.stop())
  const query = '{ me }'
  const sha256Hash = createHash('sha256').update(query).digest('hex')
  return async (isComplete: boolean) => {
    const extensions = { persistedQuery: { version: 1, sha256Hash } }
    const { body } = await server.executeOperation({ ...(isComplete && { query }), extensions })
    if (body.kind === 'incremental') throw new Error('The response is complete.')
    return body.singleResult.errors?.[0]?.message ?? body.singleResult.data?.me
  }
}

describe.each(backends)('Apollo and ocache on $name', (backend) => {
  const createStore = backend.use()
  const createCache = () => new Cache(createStore(), { prefix: `a${crypto.randomUUID()}:` })

  test('a server of Apollo finds a query that another one has stored', async () => {
    const cache = createCache()
    const [first, second] = [startApollo(cache), startApollo(cache)]
    expect(await second(false)).toBe('PersistedQueryNotFound')
    expect(await first(true)).toBe('Ada')
    expect(await second(false)).toBe('Ada')
  })

  test('ocache stores values and bodies of any bytes', async () => {
    const storage = createBlobStorage(blobBackend(createCache()))
    let calls = 0
    const count = async (name: string) => `${name} ${++calls}`
    const cached = defineCachedFunction(count, { name: 'count', maxAge: 60, storage })
    expect([await cached('ada'), await cached('ada')]).toEqual(['ada 1', 'ada 1'])
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const handler = defineCachedHandler(() => new Response(bytes), { maxAge: 60, storage })
    for (let request = 0; request < 2; request++) {
      const req = new Request('http://127.0.0.1/image')
      const response = (await handler({ req })) as Response
      expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes)
    }
  })
})

test('the reads of Apollo in one turn are one request', async () => {
  const { store, calls } = recorded()
  const cache = apolloCache(new Cache(withBatching(store)))
  await Promise.all(['a', 'b', 'a'].map((key) => cache.get(key)))
  expect(calls.map(([name, [keys]]) => [name, keys])).toEqual([['getMany', ['a', 'b']]])
})

test('Apollo: seconds, 0 is over, and null is the ttl of the cache', async () => {
  const { store, calls } = recorded()
  const cache = apolloCache(new Cache(store, { ttl: '1h' }))
  await cache.set('a', 'x', { ttl: 90 })
  await cache.set('b', 'x', { ttl: null })
  await cache.set('c', 'x')
  const ttls = calls.filter(([name]) => name === 'set').map(([, args]) => args.at(-1))
  expect(ttls).toEqual([90_000, 3_600_000, 3_600_000])
  await cache.set('a', 'y', { ttl: 0 })
  expect(await cache.get('a')).toBeUndefined()
  expect(await cache.delete('b')).toBe(true)
})

test('ocache: seconds, null deletes, and bytes are stored as they are', async () => {
  const { store, calls } = recorded()
  const backend = blobBackend(new Cache(store))
  await backend.set('a', new Uint8Array([0, 255]), { ttl: 90 })
  expect(Buffer.from(calls[0]?.[1][1] as Uint8Array)).toEqual(Buffer.from([0, 255]))
  expect(calls[0]?.[1].at(-1)).toBe(90_000)
  await backend.set('a', null)
  expect(await backend.get('a')).toBeNull()
  expect(backend.maxEntryBytes).toBe(new Cache(memory()).limits.valueBytes)
})

test('a failed read is a miss and an event, and a failed write rejects', async () => {
  const events = errors()
  const cache = new Cache(unreachable())
  const [apollo, blobs] = [apolloCache(cache), blobBackend(cache)]
  expect([await apollo.get('a'), await blobs.get('a')]).toEqual([undefined, null])
  expect(events).toHaveLength(2)
  await expect(apollo.set('a', 'x')).rejects.toSatisfy(CacheError.is)
  await expect(blobs.set('a', new Uint8Array())).rejects.toSatisfy(CacheError.is)
})
