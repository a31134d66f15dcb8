import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { type ReadFrom, type RedisOptions, redis } from '@stowage/redis'
import { command, freePort, startProxy, startRedis, startReplicated } from '@stowage/test-servers'
import { describe, expect, test } from 'vitest'
import { countReads, serve, waitUntil, waitUntilReplicated, waitUntilServed } from '../helpers.ts'
import { replicatedServers } from './replicated-servers.ts'

type Store = ReturnType<typeof redis>

const servers = replicatedServers()
const { links, replicaPorts, createStore, muteLinkOf, stores } = servers

/** Creates a store whose replicas are connected, caught up and have `k`. */
async function createWarmStore(options: RedisOptions = {}, value = 'old') {
  const store = createStore(options)
  await store.set('k', value)
  await waitUntilReplicated('k', value, ...replicaPorts())
  await waitUntilServed(replicaPorts(), async () => {
    await store.get('k', { consistency: 'eventual' })
    await store.get('k')
  })
  return store
}

/** Expects that `reader` is stale until it observes a token of `writer`. Stops the replication. */
async function expectFreshWithToken(writer: Store, reader: Store): Promise<void> {
  for (const link of links) link.mute(true)
  await writer.set('k', 'new')
  expect(String(await reader.get('k'))).toBe('old')
  reader.observe?.((await writer.consistencyToken?.()) ?? '')
  expect(String(await reader.get('k'))).toBe('new')
}

describe('a token of another process', () => {
  test('makes the next request read what the previous one wrote: 0 stale reads with 20 ms of lag', async () => {
    for (const link of links) link.delay(20, 'replies')
    const [writer, reader] = [await createWarmStore(), await createWarmStore()]
    let stale = 0
    const visit = async (user: number) => {
      for (let request = 0; request < 10; request++) {
        await writer.set(`user ${user}`, `${request}`)
        const token = (await writer.consistencyToken?.()) ?? ''
        reader.observe?.(token)
        if (String(await reader.get(`user ${user}`)) !== `${request}`) stale++
        // The time between two requests of a user.
        await sleep(40)
        if (String(await reader.get(`user ${user}`)) !== `${request}`) stale++
      }
    }
    const before = await countReads(...replicaPorts())
    await Promise.all(Array.from({ length: 32 }, (_, user) => visit(user)))
    expect(stale).toBe(0)
    expect(await countReads(...replicaPorts())).toBeGreaterThan(before)
  })

  test('is required to read the writes of that process', async () => {
    await expectFreshWithToken(await createWarmStore(), await createWarmStore())
  })

  test('may come from a store that reads from the primary only', async () => {
    await expectFreshWithToken(createStore({ replicas: [] }), await createWarmStore())
  })

  test('is required although an earlier token was observed while the replica caught up', async () => {
    const [writer, reader] = [await createWarmStore(), await createWarmStore()]
    for (const link of links) link.mute(true)
    const writeAndObserve = async (key: string) => {
      await writer.set(key, 'new')
      reader.observe?.((await writer.consistencyToken?.()) ?? '')
    }
    await writeAndObserve('other')
    // The replicas are polled with the offset of the first token.
    await sleep(100)
    for (const link of links) link.delay(300, 'replies')
    for (const link of links) link.mute(false)
    await writeAndObserve('k')
    const end = Date.now() + 800
    while (Date.now() < end) {
      expect(String(await reader.get('k'))).toBe('new')
      await sleep(5)
    }
  })

  test('is empty, and costs no further round trip, if the server has no replicas', async () => {
    const server = await startRedis()
    const store = redis({ url: server.url, timeout: '20s' })
    await store.set('k', 'v')
    expect(await store.consistencyToken?.()).toBe('')
    const countInfos = async () => {
      const stats = `${await command(server.port, 'INFO', 'commandstats')}`
      return Number(/cmdstat_info:calls=(\d+)/.exec(stats)?.[1])
    }
    const before = await countInfos()
    for (let call = 0; call < 10; call++) expect(await store.consistencyToken?.()).toBe('')
    expect(await countInfos()).toBe(before + 1)
    await store.close()
    await server.stop()
  })

  test('passes through caches and their namespaces', async () => {
    const [a, b] = [await createWarmStore(), await createWarmStore()]
    const [writer, reader] = [new Cache(a).namespace('n'), new Cache(b).namespace('n')]
    await writer.set('k', 'old')
    await waitUntilReplicated('n:k', '"old"', ...replicaPorts())
    for (const link of links) link.mute(true)
    await writer.set('k', 'new')
    const token = await writer.consistencyToken()
    expect(token).toMatch(/^[\w:.]+$/)
    reader.observe(token)
    expect(await reader.get('k')).toBe('new')
  })

  test('applies to a replica that connects later', async () => {
    const [first = 0, second = 0] = replicaPorts()
    const proxy = await startProxy(second)
    proxy.refuse(true)
    const replicas = [`127.0.0.1:${first}`, `127.0.0.1:${proxy.port}`]
    const writer = await createWarmStore()
    const reader = createStore({ replicas })
    await reader.set('own', 'v')
    await waitUntilServed([first], () => reader.get('own'))
    for (const link of links) link.mute(true)
    await writer.set('k', 'new')
    reader.observe?.((await writer.consistencyToken?.()) ?? '')
    // The reply to INFO takes as long as the reply to a read.
    proxy.delay(50)
    proxy.refuse(false)
    for (let read = 0; read < 300; read++) {
      expect(String(await reader.get('k'))).toBe('new')
      await sleep(2)
    }
    await reader.close()
    await proxy.stop()
  })

  test('applies to a replica that has not replied to INFO yet', async () => {
    const [first = 0, second = 0] = replicaPorts()
    const proxy = await startProxy(second)
    const replicas = [`127.0.0.1:${first}`, `127.0.0.1:${proxy.port}`]
    const writer = await createWarmStore()
    const reader = createStore({ replicas, timeout: '30s' })
    for (const port of [first, second]) await waitUntilServed([port], () => reader.get('k'))
    await muteLinkOf(second)
    proxy.mute(true, 'requests')
    await reader.set('own', 'v')
    await waitUntilServed([first], () => reader.get('own'))
    await writer.set('k', 'new')
    reader.observe?.((await writer.consistencyToken?.()) ?? '')
    const reads: unknown[] = []
    for (let read = 0; read < 10; read++) {
      reads.push(reader.get('k'))
      await nextTurn()
    }
    proxy.mute(false)
    expect((await Promise.all(reads)).map(String)).toEqual(reads.map(() => 'new'))
    await reader.close()
    await proxy.stop()
  })

  test.each(['', 'banana', 'r1:zz.1', 'r1:abc', `r1:${'0'.repeat(12)}.`, '\u0000', 'r2:1'])(
    'is ignored if it is invalid: %j',
    async (token) => {
      const store = await createWarmStore()
      store.observe?.(token)
      const before = await countReads(...replicaPorts())
      await store.get('k')
      expect(await countReads(...replicaPorts())).toBe(before + 1)
    },
  )

  test.each([
    ['with a future offset', 'r1:STREAM.9007199254740991'],
    ['of another replication stream', 'r1:0123456789ab.5'],
  ])('%s does not exclude the replicas forever', async (_, form) => {
    const store = await createWarmStore()
    const [, stream = ''] = /:([0-9a-f]{12})/.exec((await store.consistencyToken?.()) ?? '') ?? []
    store.observe?.(form.replace('STREAM', stream))
    await waitUntilServed(replicaPorts(), () => store.get('k'))
  })
})

describe('the consistency of a single read', () => {
  test('overrides that of the store', async () => {
    for (const consistency of ['eventual', 'session', 'strong'] as const) {
      const cache = new Cache(
        await (consistency === 'strong'
          ? createStore({ consistency })
          : createWarmStore({ consistency })),
      )
      await cache.set('k', 'old')
      await waitUntilReplicated('k', '"old"', ...replicaPorts())
      await waitUntilServed(replicaPorts(), () => cache.get('k', { consistency: 'eventual' }))
      for (const link of links) link.mute(true)
      await cache.set('k', 'new')
      expect(await cache.get('k', { consistency: 'eventual' })).toBe('old')
      expect(await cache.getMany(['k'], { consistency: 'eventual' })).toEqual(['old'])
      expect(await cache.get('k', { consistency: 'strong' })).toBe('new')
      expect(await cache.getMany(['k'], { consistency: 'session' })).toEqual(['new'])
      expect(await cache.has('k', { consistency: 'strong' })).toBe(true)
      for (const link of links) link.mute(false)
    }
  })

  test('is not needed for methods that write depending on the value read', async () => {
    const cache = new Cache(await createWarmStore({ consistency: 'eventual' }, '1'))
    for (const link of links) link.mute(true)
    await Promise.all(Array.from({ length: 10 }, () => cache.update<number>('k', (n = 0) => n + 1)))
    expect(await cache.replace('k', 'x')).toBe(true)
    expect(await cache.pull('k')).toBe('x')
  })
})

describe('readFrom', () => {
  const readsPerServer = async (store: Store, count = 30) => {
    const primary = await countReads(servers.primary.port)
    const replicas = await countReads(...replicaPorts())
    for (let read = 0; read < count; read++) await store.get('k')
    return {
      primary: (await countReads(servers.primary.port)) - primary,
      replicas: (await countReads(...replicaPorts())) - replicas,
    }
  }

  test.each([
    ['primary', { primary: 30, replicas: 0 }],
    ['primaryPreferred', { primary: 30, replicas: 0 }],
    ['replicaPreferred', { primary: 0, replicas: 30 }],
    ['replica', { primary: 0, replicas: 30 }],
    ['any', { primary: 10, replicas: 20 }],
  ] as const)('%s: %o', async (readFrom, expected) => {
    const store = createStore({ readFrom })
    await store.set('k', 'v')
    await waitUntilReplicated('k', 'v', ...replicaPorts())
    await waitUntil('the reads are distributed as expected', async () => {
      const actual = await readsPerServer(store)
      return JSON.stringify(actual) === JSON.stringify(expected)
    })
  })

  test('nearest: a slower replica is not used', async () => {
    const slow = await startProxy(replicaPorts()[0] ?? 0)
    slow.delay(15)
    const store = createStore({ readFrom: 'nearest', replicas: [`127.0.0.1:${slow.port}`] })
    await store.set('k', 'v')
    await waitUntil(
      'the primary serves all reads',
      async () => (await readsPerServer(store)).replicas === 0,
    )
    await store.close()
    await slow.stop()
  })

  test('banana is rejected with the choices', () => {
    expect(() => createStore({ readFrom: 'banana' as ReadFrom })).toThrow(
      /readFrom must be one of primary, /,
    )
  })
})

describe('a replica', () => {
  test('is skipped after its promotion, and serves reads again once it is a replica', async () => {
    const store = await createWarmStore()
    const [first = 0] = replicaPorts()
    const [, host, port] = (await command(first, 'ROLE')) as [string, string, number]
    const readTimes = async (count: number) => {
      for (let read = 0; read < count; read++) await store.get('k')
    }
    await command(first, 'REPLICAOF', 'NO', 'ONE')
    await waitUntil('it is skipped', async () => !(await serve([first], () => readTimes(4))))
    await command(first, 'REPLICAOF', host, port)
    await waitUntilServed([first], () => readTimes(4))
  })

  test('that was restarted serves no reads until it is connected to its primary', async () => {
    const [first = 0] = replicaPorts()
    const proxy = await startProxy(first)
    const replicas = [`127.0.0.1:${proxy.port}`]
    const store = await createWarmStore({ replicas, consistency: 'eventual' })
    const args = ['--replicaof', '127.0.0.1', `${await freePort()}`]
    const restarted = await startRedis({ args })
    proxy.retarget(restarted.port)
    proxy.cut()
    for (let read = 0; read < 200; read++) {
      expect(String(await store.get('k'))).toBe('old')
      await sleep(5)
    }
    await command(restarted.port, 'REPLICAOF', '127.0.0.1', servers.primary.port)
    await waitUntilServed([restarted.port], () => store.get('k'))
    await store.close()
    await Promise.all([proxy.stop(), restarted.stop()])
  })

  test('that has lost its primary serves no reads until it is connected to it again', async () => {
    const store = await createWarmStore({ consistency: 'eventual' })
    const readTimes = async () => {
      for (let read = 0; read < 20; read++) expect(String(await store.get('k'))).toBe('old')
    }
    for (const link of links) link.refuse(true)
    for (const link of links) link.cut()
    await waitUntil('the primary serves the reads', async () => {
      return !(await serve(replicaPorts(), readTimes))
    })
    for (const link of links) link.refuse(false)
    await waitUntilServed(replicaPorts(), readTimes)
  })

  test('at a hostname gets a new connection after renewReplicasAfter; no call fails', async () => {
    const [first = 0, second = 0] = replicaPorts()
    const proxy = await startProxy(first)
    const replicas = [`localhost:${proxy.port}`]
    const store = await createWarmStore({ replicas, renewReplicasAfter: '200ms' })
    proxy.retarget(second)
    await waitUntilServed([second], async () => {
      for (let read = 0; read < 5; read++) expect(String(await store.get('k'))).toBe('old')
    })
    await store.close()
    await proxy.stop()
  })

  test('whose connection is being replaced completes its reads before close resolves', async () => {
    const [first, second] = servers.replicas
    const proxy = await startProxy(first?.port ?? 0)
    const replicas = [`localhost:${proxy.port}`]
    const store = await createWarmStore({ replicas, renewReplicasAfter: '200ms', timeout: '10s' })
    proxy.retarget(second?.port ?? 0)
    first?.kill('SIGSTOP')
    let completed = false
    const read = Promise.resolve(store.get('k')).then(() => {
      completed = true
    })
    await waitUntilServed([second?.port ?? 0], async () => {
      await store.get('k', { consistency: 'strong' })
      void store.get('k')
    })
    setTimeout(() => first?.kill('SIGCONT'), 50)
    await store.close()
    expect(completed).toBe(true)
    await read
    await proxy.stop()
  })

  test('gets the number of connections in replicaConnections', async () => {
    const [first = 0] = replicaPorts()
    const proxy = await startProxy(first)
    await createWarmStore({ replicas: [`127.0.0.1:${proxy.port}`], replicaConnections: 3 })
    await waitUntil('there are three connections', () => proxy.accepted === 3)
    await stores.pop()?.close()
    await proxy.stop()
  })
})

test('a key that only the unreachable primary could serve fails alone', async () => {
  const others = await startReplicated({ replicas: 1 })
  try {
    const ports = others.replicas.map(({ port }) => port)
    const replicas = ports.map((port) => `127.0.0.1:${port}`)
    const store = redis({ url: others.primary.url, replicas, timeout: '2s' })
    stores.push(store)
    await store.setMany([
      ['a', 'v'],
      ['b', 'v'],
    ])
    await waitUntilServed(ports, () => store.getMany(['a', 'b']))
    others.primary.kill('SIGKILL')
    await Promise.resolve(store.set('written', 'v')).catch(() => {})
    const keys = ['written', 'a', 'b']
    const outcomes = await Promise.allSettled(keys.map((key) => store.get(key)))
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
    expect(outcomes[0]).toMatchObject({
      reason: { code: 'ERR_CACHE_UNAVAILABLE', operation: 'get', key: 'written' },
    })
    const failure = await Promise.resolve(store.getMany(keys)).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(BatchError)
    expect((failure as BatchError).outcomes.map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'fulfilled',
    ])
  } finally {
    await others.stop()
  }
})

test('replicas serve reads while the primary is unreachable, if they have the last writes', async () => {
  const others = await startReplicated()
  try {
    const ports = others.replicas.map(({ port }) => port)
    const replicas = ports.map((port) => `127.0.0.1:${port}`)
    const store = redis({ url: others.primary.url, replicas, timeout: '2s' })
    stores.push(store)
    await store.set('k', 'v')
    await waitUntilServed(ports, () => store.get('k'))
    others.primary.kill('SIGKILL')
    await expect(store.set('other', 'v')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    for (let read = 0; read < 20; read++) expect(String(await store.get('k'))).toBe('v')
  } finally {
    await others.stop()
  }
})

describe('a user without the permission to run INFO', () => {
  test('reads from replicas after the assumed lag, and reads nothing stale before', async () => {
    const all = [servers.primary.port, ...replicaPorts()]
    const rules = ['on', 'nopass', '~*', '+@all', '-info', '-role']
    await Promise.all(all.map((port) => command(port, 'ACL', 'SETUSER', 'app', 'reset', ...rules)))
    const url = servers.primary.url.replace('redis://', 'redis://app:x@')
    const store = createStore({ url, assumedLag: '300ms' })
    for (const link of links) link.delay(20, 'replies')
    for (let round = 0; round < 50; round++) {
      await store.set('k', `${round}`)
      expect(String(await store.get('k'))).toBe(`${round}`)
    }
    await waitUntilServed(replicaPorts(), () => store.get('k'))
    const other = createStore({ url, assumedLag: '300ms' })
    await other.get('k')
    await store.set('k', 'new')
    other.observe?.((await store.consistencyToken?.()) ?? '')
    expect(String(await other.get('k'))).toBe('new')
  })
})
