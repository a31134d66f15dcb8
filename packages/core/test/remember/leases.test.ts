import { setTimeout as sleep } from 'node:timers/promises'
import { Cache, CacheError, type ReadOptions } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

describe('one load over all processes', () => {
  test('a second process waits for the value of the first', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<string>()
    let loads = 0
    const load = () => {
      loads++
      return loaded.opened
    }
    const first = a.remember('k', {}, load)
    await settle()
    const second = b.remember('k', {}, load)
    loaded.open('value')
    expect(await first).toBe('value')
    expect(await second).toBe('value')
    expect(loads).toBe(1)
  })

  test('a second process finds the value of the first, although its replica does not have it yet', async () => {
    const { a, backend, clock } = twoProcesses()
    // A strong read is one of the primary.
    const lagging = Object.assign(
      wrapStore(backend, (_, call) => call()),
      {
        get: (key: string, options?: ReadOptions) =>
          options?.consistency === 'strong' ? backend.get(key, options) : undefined,
      },
    )
    const b = new Cache(lagging, { clock })
    const loaded = gate<string>()
    const first = a.remember('k', {}, () => loaded.opened)
    await settle()
    const second = b.remember('k', {}, () => 'loaded again')
    await settle()
    loaded.open('value')
    await first
    await settle()
    await clock.advance(1_000)
    expect(await second).toBe('value')
  })

  test('costs a read, an add and a compare-and-set', async () => {
    const { a, reads, writes } = twoProcesses()
    await a.remember('k', {}, () => 1)
    expect(reads).toEqual(['get'])
    expect(writes).toEqual(['add', 'compareAndSet'])
  })

  test('with lease: false each process loads, with one write', async () => {
    const { a, b, writes } = twoProcesses()
    const loaded = gate<string>()
    let loads = 0
    const load = () => {
      loads++
      return loaded.opened
    }
    const calls = [a, b].map((cache) => cache.remember('k', { lease: false }, load))
    await settle()
    loaded.open('value')
    expect(await Promise.all(calls)).toEqual(['value', 'value'])
    expect(loads).toBe(2)
    expect(writes).toEqual(['add', 'add'])
  })
})

describe('a load during which another process', () => {
  const changes = {
    'deletes the key': ['delete', undefined],
    'sets the key': ['set', 'new'],
    'clears the cache': ['clear', undefined],
  } as const

  test.each(Object.entries(changes))('%s is not stored', async (_, [change, expected]) => {
    const { a, b } = twoProcesses({ prefix: 'app:' })
    const loaded = gate<string>()
    const call = a.remember('k', {}, () => loaded.opened)
    await settle()
    if (change === 'set') await b.set('k', 'new')
    else await b[change]('k')
    loaded.open('old')
    expect(await call).toBe('old')
    expect(await a.get('k')).toBe(expected)
    expect(await b.get('k')).toBe(expected)
  })

  test('deletes the key is not given to callers that joined after the load began', async () => {
    const { a, b } = twoProcesses()
    const gates = [gate<string>(), gate<string>()]
    let loads = 0
    const load = () => (gates[loads++] as (typeof gates)[number]).opened
    const first = a.remember('k', {}, load)
    await settle()
    await b.delete('k')
    const joined = a.remember('k', {}, load)
    gates[0]?.open('old')
    expect(await first).toBe('old')
    await settle()
    gates[1]?.open('new')
    expect(await joined).toBe('new')
    expect(await b.get('k')).toBe('new')
  })
})

describe('a lease', () => {
  test('is renewed, so that a slow load remains the only one', async () => {
    // Leases last for real time, also if the store uses a manual clock.
    const { a, b } = twoProcesses()
    let loads = 0
    const load = async () => {
      loads++
      await sleep(4_000)
      return 'slow'
    }
    const calls = [a, b].map((cache) => cache.remember('k', { lease: 1_500 }, load))
    expect(await Promise.all(calls)).toEqual(['slow', 'slow'])
    expect(loads).toBe(1)
  })

  test('reads as a miss for every method', async () => {
    const { a, b, backend } = twoProcesses()
    const hang = gate<string>()
    const begin = async (key: string) => {
      void a.remember(key, { loadTimeout: '1h' }, () => hang.opened)
      await settle()
      expect(await backend.get(key)).toBeDefined()
      return key
    }
    expect(await b.get(await begin('get'))).toBeUndefined()
    expect(await b.getMany([await begin('getMany')])).toEqual([undefined])
    expect(await b.has(await begin('has'))).toBe(false)
    expect(await b.pull(await begin('pull'))).toBeUndefined()
    expect(await b.replace(await begin('replace'), 1)).toBe(false)
    expect(await b.add(await begin('add'), 1)).toBe(true)
    expect(await b.get('add')).toBe(1)
    expect(await b.increment(await begin('increment'), 2)).toBe(2)
    expect(await b.increment('increment', 2)).toBe(4)
    expect(await b.update<number>(await begin('update'), (current) => (current ?? 0) + 1)).toBe(1)
    expect((await b.snapshot(await begin('snapshot'))).value).toBeUndefined()
    hang.open('late')
    await settle()
    expect(await b.get('add')).toBe(1)
    expect(await b.get('increment')).toBe(4)
    expect(await b.get('update')).toBe(1)
  })

  test('of a process that stopped is taken over after its duration', async () => {
    const { a, backend } = twoProcesses()
    await backend.set('k', '\x01\x02Lstopped.0.50')
    const start = performance.now()
    expect(await a.remember('k', {}, () => 'value')).toBe('value')
    expect(performance.now() - start).toBeGreaterThanOrEqual(50)
  })
})

describe('close() during a load', () => {
  test('ends the lease, so that other processes need not wait for it', async () => {
    const { a, writes } = twoProcesses()
    const loaded = gate<string>()
    const call = a.remember('k', {}, () => loaded.opened)
    await settle()
    await a.close()
    expect(writes).toEqual(['add', 'compareAndSet', 'close'])
    loaded.open('value')
    expect(await call).toBe('value')
  })

  test('also that of a loader that fails when its signal aborts', async () => {
    const { a, writes } = twoProcesses()
    const call = a.remember('k', {}, async ({ signal }) => {
      await sleep(10_000, undefined, { signal })
    })
    call.catch(() => {})
    await settle()
    await a.close()
    expect(writes.slice(0, 2)).toEqual(['add', 'compareAndSet'])
    await expect(call).rejects.toThrow(/abort/)
  })
})

test('a delete ends the time for which a value is not stored', async () => {
  const { a } = twoProcesses()
  let exists = false
  const load = (context: { skip(options: { for: '1h' }): void }) => {
    if (!exists) context.skip({ for: '1h' })
    return exists ? 'created' : null
  }
  expect(await a.remember('k', {}, load)).toBe(null)
  exists = true
  await a.delete('k')
  expect(await a.remember('k', {}, load)).toBe('created')
  expect(await a.get('k')).toBe('created')
})

test('a load whose tags cannot be created ends its lease', async () => {
  const { backend, clock } = twoProcesses()
  const store = wrapStore(backend, (operation, call, [key]) => {
    if (operation === 'add' && String(key).includes('~tag:'))
      throw new CacheError('ERR_CACHE_REJECTED', 'no permission')
    return call()
  })
  const cache = new Cache(store, { clock })
  expect(await cache.remember('k', { tags: ['t'] }, () => 'value')).toBe('value')
  expect(await backend.get('k')).toBeUndefined()
})

test('clear also forgets which values were not kept', async () => {
  const { a } = twoProcesses()
  await a.remember('k', {}, ({ skip }) => skip({ for: '10m' }))
  await a.clear()
  await a.remember('k', {}, () => 'kept')
  expect(await a.get('k')).toBe('kept')
})

test('the backoff of a key is not that of a key with its name', async () => {
  const { a, clock } = twoProcesses()
  const options = { ttl: 10, staleIfError: '1h', backoff: '10m', lease: false } as const
  await a.remember('k', options, () => 1)
  await clock.advance(20)
  await a.remember('k', options, () => Promise.reject(new Error('down')))
  await a.remember('failed k', {}, () => 'kept')
  expect(await a.get('failed k')).toBe('kept')
})
