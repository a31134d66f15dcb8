import { CacheError, createCaches } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { describe, expect, test, vi } from 'vitest'
import { gate } from './remember/two-processes.ts'

describe('createCaches', () => {
  test('creates each cache once, on its first use', () => {
    const created: string[] = []
    const create = (name: string) => () => {
      created.push(name)
      return memory()
    }
    const caches = createCaches({
      default: 'pages',
      stores: { pages: create('pages'), hot: create('hot') },
    })
    expect(created).toEqual([])
    expect(caches.use()).toBe(caches.use('pages'))
    expect(created).toEqual(['pages'])
    expect(caches.use('hot').name).toBe('hot')
  })

  test('gives each cache its own prefix and ttl', async () => {
    const store = memory()
    const caches = createCaches({
      default: 'a',
      stores: { a: { store: () => store, prefix: 'a:' }, b: { store: () => store, prefix: 'b:' } },
    })
    await caches.use('a').set('k', 1)
    expect(await caches.use('b').get('k')).toBeUndefined()
    expect(store.get('a:k')).toBe('1')
  })

  test('checks names at compile time, and reports an unknown name with the defined ones', () => {
    const caches = createCaches({ default: 'pages', stores: { pages: () => memory() } })
    // @ts-expect-error: not a defined name
    expect(() => caches.use('page')).toThrow(
      /No cache is named "page". Did you mean pages\? Defined: pages/,
    )
    // @ts-expect-error: the default must be a defined name
    expect(() => createCaches({ default: 'x', stores: { y: () => memory() } })).toThrow(CacheError)
  })

  test('rejects an invalid default ttl on the first use of the cache', () => {
    const caches = createCaches({ default: 'p', stores: { p: { store: () => memory(), ttl: 0 } } })
    expect(() => caches.use()).toThrow(/not positive/)
  })
})

describe('health', () => {
  const failing = () =>
    wrapStore(memory(), () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
    })

  test('pings every backend and never rejects', async () => {
    const caches = createCaches({
      default: 'working',
      stores: { working: () => memory(), failing },
    })
    expect(await caches.health()).toMatchObject({
      working: { driver: 'memory', ok: true },
      failing: { driver: 'memory', ok: false, error: { code: 'ERR_CACHE_UNAVAILABLE' } },
    })
  })

  test('reports a store that cannot be created', async () => {
    const misconfigured = () => {
      throw new CacheError('ERR_CACHE_CONFIG', 'invalid url')
    }
    const caches = createCaches({ default: 'a', stores: { a: misconfigured } })
    expect(await caches.health()).toMatchObject({ a: { driver: 'unknown', ok: false } })
  })

  test('ready resolves when every backend replies, and rejects with the reason after the timeout', async () => {
    let now = 0
    const sleep = async (ms: number) => {
      now += ms
    }
    const clock = { now: () => now, sleep }
    let pings = 0
    const slow = () =>
      wrapStore(memory(), (_, call) => {
        if (++pings < 3) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'starting')
        return call()
      })
    await createCaches({ default: 'slow', stores: { slow }, clock }).ready({ within: '1s' })
    expect(pings).toBe(3)
    const caches = createCaches({ default: 'failing', stores: { failing }, clock })
    await expect(caches.ready({ within: '1s' })).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
    })
  })

  test('ready rejects after the timeout if a backend never replies', async () => {
    const silent = () =>
      wrapStore(memory(), (operation, call) =>
        operation === 'ping' ? new Promise<never>(() => {}) : call(),
      )
    const caches = createCaches({ default: 'silent', stores: { silent } })
    await expect(caches.ready({ within: '20ms' })).rejects.toMatchObject({
      code: 'ERR_CACHE_TIMEOUT',
    })
  })

  test.each([Number.POSITIVE_INFINITY, '60d'] as const)(
    'a backend has %s to reply',
    async (timeout) => {
      vi.useFakeTimers()
      try {
        const reply = gate()
        const slow = () =>
          wrapStore(
            memory(),
            (operation, call) => (operation === 'ping' ? reply.opened : call()) as never,
          )
        const status = createCaches({ default: 'slow', stores: { slow } }).status({ timeout })
        await vi.advanceTimersByTimeAsync(60_000)
        reply.open()
        expect(await status).toMatchObject({ status: 'ok' })
      } finally {
        vi.useRealTimers()
      }
    },
  )

  test.each([
    { stores: { cache: memory, session: memory }, status: 'ok' },
    { stores: { cache: failing, session: memory }, status: 'degraded' },
    { stores: { cache: memory, session: failing }, status: 'unavailable' },
    { stores: { cache: failing, session: failing }, status: 'unavailable' },
  ])('status is $status, by the caches that are required', async ({ stores, status }) => {
    const caches = createCaches({ default: 'cache', stores })
    const report = await caches.status({ required: ['session'] })
    expect(report.status).toBe(status)
    expect(report.health.cache.ok).toBe(stores.cache === memory)
    expect((await caches.status()).status).toBe(status === 'ok' ? 'ok' : 'unavailable')
  })

  test('ready waits for required caches only, and refuses an unknown one', async () => {
    const caches = createCaches({ default: 'cache', stores: { cache: failing, session: memory } })
    await caches.ready({ required: ['session'] })
    const unknown = { required: ['sessions' as never] }
    await expect(caches.ready(unknown)).rejects.toThrow(/No cache is named "sessions"/)
    await expect(caches.status(unknown)).rejects.toThrow(/No cache is named "sessions"/)
  })

  test('as JSON has the code and the message of an error', async () => {
    const caches = createCaches({ default: 'cache', stores: { cache: failing } })
    const { health } = JSON.parse(JSON.stringify(await caches.status()))
    expect(health.cache.error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', message: 'down' })
  })

  test('close closes the caches that were created, and creates no others', async () => {
    const closed: string[] = []
    const store = (name: string) => () =>
      wrapStore(memory(), (operation, call) => {
        if (operation === 'close') closed.push(name)
        return call()
      })
    const caches = createCaches({ default: 'a', stores: { a: store('a'), b: store('b') } })
    caches.use('a')
    await caches.close()
    expect(closed).toEqual(['a'])
    expect(() => caches.use('b')).toThrow(/close/)
    expect(await caches.health()).toMatchObject({ a: { ok: false }, b: { ok: false } })
  })
})
