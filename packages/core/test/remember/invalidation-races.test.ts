import { Cache, CacheError } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

/** A cache over the backend whose calls of one operation are handled by `handle`. */
function intercepted(
  backend: ByteStore,
  operation: string,
  handle: (call: () => unknown, key: string) => unknown,
): Cache {
  const store = wrapStore(backend, (name, call, [key]) =>
    name === operation ? (handle(call, key as string) as ReturnType<typeof call>) : call(),
  )
  return new Cache(store, { clock: new ManualClock() })
}

test('a lease that is stored later than the load began does not let its value be stored', async () => {
  const { b, backend } = twoProcesses()
  let addLate: () => unknown = () => {}
  const a = intercepted(backend, 'add', (call) => {
    addLate = call
    throw new CacheError('ERR_CACHE_TIMEOUT', 'no reply', { store: 'test', operation: 'add' })
  })
  const loaded = gate<string>()
  const call = a.remember('k', {}, () => loaded.opened)
  await settle()
  await b.delete('k')
  await addLate()
  loaded.open('old')
  expect(await call).toBe('old')
  expect(await b.get('k')).toBeUndefined()
  expect(await backend.get('k')).toBeUndefined()
})

test('a call after a delete does not receive the failure that an earlier call has read', async () => {
  const { b, backend } = twoProcesses()
  const replied = gate()
  // The replies to all reads arrive together.
  const a = intercepted(backend, 'get', async (call) => {
    const item = await call()
    await replied.opened
    return item
  })
  const fail = () => Promise.reject(new Error('down'))
  await expect(b.remember('k', { backoff: '1m' }, fail)).rejects.toThrow('down')
  const early = a.remember('k', {}, () => 'unused').catch((error) => error.code)
  await a.delete('k')
  const late = a.remember('k', {}, () => 'new')
  replied.open()
  expect(await early).toBe('ERR_CACHE_LOAD')
  expect(await late).toBe('new')
})

test('a call joins the load of a later one that received the reply to its read first', async () => {
  const { backend } = twoProcesses()
  const gates = [gate(), gate()]
  let reads = 0
  const a = intercepted(backend, 'get', async (call) => {
    const item = call()
    await gates[reads++]?.opened
    return item
  })
  const loaded = gate<string>()
  const early = a.remember('k', {}, () => 'unused')
  const late = a.remember('k', {}, () => loaded.opened)
  gates[1]?.open()
  await settle()
  gates[0]?.open()
  await settle()
  loaded.open('value')
  expect(await Promise.all([early, late])).toEqual(['value', 'value'])
})

test('a load that is not stored is not given to callers that joined it after a write', async () => {
  const { a, b } = twoProcesses()
  await a.remember('k', {}, (context) => {
    context.skip()
    return 'first'
  })
  const loaded = gate<string>()
  const early = a.remember('k', {}, () => loaded.opened)
  await settle()
  await b.set('k', 'new')
  const late = a.remember('k', {}, () => 'unused')
  loaded.open('old')
  expect(await early).toBe('old')
  expect(await late).toBe('new')
})

test('a tagged value that is not stored is not given to callers that joined after an invalidation', async () => {
  const { a, b } = twoProcesses()
  const loaded = gate<string>()
  const load = (value: Promise<string>) =>
    a.remember('k', { tags: ['t'] }, async (context) => {
      context.skip()
      return value
    })
  const early = load(loaded.opened)
  await settle()
  await b.invalidateTags('t')
  const late = load(Promise.resolve('new'))
  loaded.open('old')
  expect(await early).toBe('old')
  expect(await late).toBe('new')
})

test('a refresh that begins during the read of a call does not wait for a loader that waits for it', async () => {
  const { backend } = twoProcesses()
  const read = gate()
  let reads = 0
  const cache = intercepted(backend, 'get', async (call) => {
    if (++reads === 1) await read.opened
    return call()
  })
  const first = cache.remember('k', {}, () => cache.remember('k', {}, () => 'inner'))
  const second = cache.remember('k', { refresh: true }, async () => 'second')
  read.open()
  expect(await Promise.all([first, second])).toHaveLength(2)
})

test('a value that was stored before a write is not given to callers that joined after it', async () => {
  const { b, backend } = twoProcesses()
  const stored = gate()
  const a = intercepted(backend, 'compareAndSet', async (call) => {
    const result = await call()
    await stored.opened
    return result
  })
  const early = a.remember('k', {}, () => 'old')
  await settle()
  await b.set('k', 'new')
  const late = a.remember('k', {}, () => 'unused')
  stored.open()
  expect(await early).toBe('old')
  expect(await late).toBe('new')
})

test('a delete also ends a load that a forced refresh has replaced', async () => {
  const { a } = twoProcesses({ remember: { lease: false } })
  const loaded = gate<string>()
  const first = a.remember('k', {}, () => loaded.opened)
  await settle()
  const second = a.remember('k', { refresh: true }, () => loaded.opened)
  await settle()
  await a.delete('k')
  loaded.open('old')
  await Promise.all([first, second])
  expect(await a.get('k')).toBeUndefined()
})

test('without a lease, a call whose read a write has overtaken reads again', async () => {
  const { backend } = twoProcesses()
  const replied = gate()
  const a = intercepted(backend, 'get', async (call) => {
    const item = call()
    await replied.opened
    return item
  })
  const loads = [() => 'early', () => 'late'].map((load) => a.remember('k', { lease: false }, load))
  await a.set('k', 'written')
  replied.open()
  expect(await Promise.all(loads)).toEqual(['early', 'written'])
})

test('a refreshed value is not stored after a clear, even if another process writes the same item again', async () => {
  const { a, b, backend } = twoProcesses()
  await b.set('k', 'stored')
  const loaded = gate<string>()
  const loading = a.remember('k', { refresh: true }, () => loaded.opened)
  await settle()
  const item = backend.get('k') as Buffer
  await a.clear()
  // A write that overlaps with a clear is repeated with the id of the new generation.
  await backend.set('k', item)
  loaded.open('old')
  expect(await loading).toBe('old')
  expect(await b.get('k')).toBe('stored')
  expect(await a.remember('k', { refresh: true }, () => 'new')).toBe('new')
})

test('a refreshed value that is not stored is not given to callers that joined after a write', async () => {
  const { a, b, clock } = twoProcesses()
  const options = { ttl: 10, staleIfError: '1h' } as const
  await a.remember('k', options, () => 'stale')
  await clock.advance(20)
  const loaded = gate<string>()
  const early = a.remember('k', options, (context) => {
    context.skip()
    return loaded.opened
  })
  await settle()
  await b.set('k', 'new')
  const late = a.remember('k', options, () => 'unused')
  loaded.open('old')
  expect(await early).toBe('old')
  expect(await late).toBe('new')
})

test('a call that joins after an invalidation does not receive what was read before it', async () => {
  const { a, b, clock } = twoProcesses()
  const options = { ttl: 10, staleIfError: '1h', tags: ['t'], backoff: 0 } as const
  await a.remember('k', options, () => 'stale')
  await clock.advance(20)
  const loaded = gate<string>()
  const holder = b.remember('k', options, (context) => {
    context.skip()
    return loaded.opened
  })
  await settle()
  const failing = () => Promise.reject(new Error('no'))
  const early = a.remember('k', options, failing)
  await settle()
  await b.invalidateTags('t')
  const late = a.remember('k', options, failing)
  late.catch(() => {})
  await settle()
  loaded.open('unused')
  await holder
  expect(await early).toBe('stale')
  await expect(late).rejects.toThrow('no')
})

describe('a stale value', () => {
  const options = { ttl: 10, staleIfError: '1h', timeout: '20ms', backoff: 0 } as const

  async function deletedDuringRefresh(joinOptions: object) {
    const { a, b, clock } = twoProcesses()
    await a.remember('k', options, () => 'old')
    await clock.advance(20)
    const loaded = gate<string>()
    const early = a.remember('k', { ...options, timeout: '10s' }, () => loaded.opened)
    await settle()
    await b.delete('k')
    const late = a.remember('k', { ...options, ...joinOptions }, () => 'new')
    late.catch(() => {})
    await settle()
    return { early, late, loaded }
  }

  test('is not returned after a failure to callers that joined after a delete', async () => {
    const { early, late, loaded } = await deletedDuringRefresh({ timeout: '10s' })
    loaded.fail(new Error('down'))
    expect(await early).toBe('old')
    expect(await late).toBe('new')
  })

  test('is not returned after a timeout to callers that joined after a delete', async () => {
    const { early, late, loaded } = await deletedDuringRefresh({})
    await expect(late).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    loaded.open('loaded')
    expect(await early).toBe('loaded')
  })
})

test('a call that waits for another process loads the value itself if the store fails', async () => {
  const { b, backend } = twoProcesses()
  let reads = 0
  const a = intercepted(backend, 'get', (call) => {
    if (++reads > 1) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'test' })
    return call()
  })
  const loaded = gate<string>()
  const other = b.remember('k', {}, () => loaded.opened)
  await settle()
  expect(await a.remember('k', {}, () => 'own')).toBe('own')
  loaded.open('other')
  expect(await other).toBe('other')
})

test('a loaded value is returned if the versions of its tags cannot be read', async () => {
  const { backend } = twoProcesses()
  const a = intercepted(backend, 'get', (call, key) => {
    if (!key.startsWith('~tag:')) return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'test' })
  })
  const value = await a.remember('k', {}, (context) => {
    context.addTags('t')
    return 'loaded'
  })
  expect(value).toBe('loaded')
  expect(await backend.get('k')).toBeUndefined()
})

describe('tags', () => {
  test('a loader that adds a tag does not overlook its first invalidation', async () => {
    const { b, backend } = twoProcesses()
    // The other process invalidates the tag between the read of its version and the creation of one.
    const a = intercepted(backend, 'add', async (call, key) => {
      if (key.startsWith('~tag:')) await b.invalidateTags('t')
      return call()
    })
    const options = {}
    await a.remember('k', options, (context) => {
      context.addTags('t')
      return 'old'
    })
    expect(await b.get('k')).toBeUndefined()
  })

  test('a loader that adds a tag does not overlook that it was made stale', async () => {
    const { a, b } = twoProcesses()
    await a.remember('k', {}, async (context) => {
      context.addTags('t')
      await b.invalidateTags('t', { stale: true })
      return 'old'
    })
    expect(await b.get('k')).toBeUndefined()
  })

  test('are not invalidated with a time that other processes do not share', async () => {
    const { backend } = twoProcesses()
    const time = () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'test' })
    }
    const a = new Cache({ ...wrapStore(backend, (_, call) => call()), time })
    for (const stale of [false, true]) {
      await expect(a.invalidateTags('t', { stale })).rejects.toThrow('down')
    }
  })

  test('a stale entry is a miss also for a process whose clock is behind', async () => {
    const { a, backend } = twoProcesses()
    const behind = new Cache(backend, { clock: new ManualClock(0) })
    await a.set('k', 1, { tags: ['t'] })
    expect(await behind.get('k')).toBe(1)
    await a.invalidateTags('t', { stale: true })
    expect(await behind.get('k')).toBeUndefined()
    expect(await behind.getMany(['k'])).toEqual([undefined])
  })
})

test('a call after an invalidation does not receive the stale value of an earlier one whose last read failed', async () => {
  const { b, backend } = twoProcesses()
  const tagged = { ttl: '1h', staleIfError: '1h', tags: ['t'] } as const
  await b.set('k', 'old', tagged)
  await b.invalidateTags('t', { stale: true })
  const held = gate<string>()
  const holder = b.remember('k', tagged, () => held.opened).catch(() => 'failed')
  await settle()
  let isDown = false
  const a = intercepted(backend, 'get', (call, key) => {
    if (!isDown || !key.startsWith('~tag:')) return call()
    throw new CacheError('ERR_CACHE_TIMEOUT', 'no reply', { store: 'test', operation: 'get' })
  })
  const early = a.remember('k', tagged, () => Promise.reject(new Error('database down')))
  await settle()
  await b.invalidateTags('t')
  const late = a.remember('k', tagged, () => 'new')
  await settle()
  isDown = true
  held.fail(new Error('database down'))
  expect(await early).toBe('old')
  isDown = false
  expect(await late).toBe('new')
  await holder
})

test('a value is not replaced because the versions of its tags were read before it was stored', async () => {
  const { b, backend } = twoProcesses()
  const delayed = gate()
  const store = wrapStore(backend, async (_operation, call, [keys]) => {
    if ([keys].flat().includes('k')) await delayed.opened
    return call()
  })
  const a = new Cache(store, { clock: new ManualClock() })
  const options = { tags: ['t'] } as const
  const calls = [
    a.remember('k', options, () => 'loaded'),
    a.rememberMany(['k'], options, (keys) => new Map(keys.map((key) => [key, 'loaded']))),
  ]
  await settle()
  await b.set('k', 'written', options)
  delayed.open()
  expect((await Promise.all(calls)).flat()).toEqual(['written', 'written'])
  expect(await b.get('k')).toBe('written')
})

test('an invalidation that is executed late does not hide a later one from a load', async () => {
  const { a, b, backend, clock } = twoProcesses()
  await b.invalidateTags('t')
  const arrived = gate()
  const delayed = wrapStore(backend, (operation, call) => {
    const isWrite = operation === 'set' || operation === 'compareAndSet'
    return isWrite ? (arrived.opened.then(() => call()) as ReturnType<typeof call>) : call()
  })
  const late = new Cache(delayed, { clock }).invalidateTags('t')
  await settle()
  await clock.advance(60_000)
  const loaded = gate<string>()
  const load = a.remember('k', { tags: () => ['t'] }, () => loaded.opened)
  await settle()
  await b.invalidateTags('t')
  arrived.open()
  await late
  loaded.open('old')
  expect(await load).toBe('old')
  expect(await a.get('k')).toBeUndefined()
})
