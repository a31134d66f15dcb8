import { Cache, CacheError, type LoadContext } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { parseMark } from '../../src/values/mark.ts'
import { eventsDuring } from './events.ts'
import { gate, settle, twoProcesses } from './two-processes.ts'

const stale = { ttl: 10, staleIfError: '1h' } as const

/** A cache over the backend. A test handles the calls of one operation. */
function intercepted(
  backend: ByteStore,
  operation: string,
  handle: (call: () => unknown) => unknown,
  clock = new ManualClock(),
): { readonly cache: Cache; readonly calls: string[] } {
  const calls: string[] = []
  const store = wrapStore(backend, (name, call, [key]) => {
    calls.push(`${name} ${String(key)}`)
    return name === operation ? (handle(call) as ReturnType<typeof call>) : call()
  })
  return { cache: new Cache(store, { clock }), calls }
}

/** Two processes whose value has become stale. */
async function withStaleValue() {
  const processes = twoProcesses()
  await processes.a.remember('k', stale, () => 'stale')
  await processes.clock.advance(20)
  return processes
}

/**
 * What two calls receive, of which the second one joins the load of the first. Their loader returns the number of its call.
 *
 * @param begin called by the loader first
 * @param during called before the loader returns
 */
async function loadTogether(
  cache: Cache,
  {
    options = {} as { readonly tags?: readonly string[] },
    begin = (_: LoadContext<number>): void => {},
    during = settle as () => Promise<unknown>,
  } = {},
) {
  const loaded = gate()
  let calls = 0
  const load = async (context: LoadContext<number>) => {
    const call = ++calls
    begin(context)
    await loaded.opened
    return call
  }
  const early = cache.remember('k', options, load)
  await settle()
  const late = cache.remember('k', options, load)
  await during()
  loaded.open()
  return Promise.all([early, late])
}

describe('a loader that finds no value any more', () => {
  test('deletes the stale one', async () => {
    const { a, backend } = await withStaleValue()
    expect(await a.remember('k', stale, () => undefined)).toBeUndefined()
    expect(backend.get('k')).toBeUndefined()
  })

  test('is called once for all that wait for it', async () => {
    const { a } = await withStaleValue()
    const loaded = gate<string | undefined>()
    let calls = 0
    const load = () => {
      calls++
      return loaded.opened
    }
    const early = [0, 1].map(() => a.remember('k', stale, load))
    await settle()
    const late = a.remember('k', stale, load)
    await settle()
    loaded.open(undefined)
    expect(await Promise.all([...early, late])).toEqual([undefined, undefined, undefined])
    expect(calls).toBe(1)
  })

  test('says nothing to callers that joined after a write', async () => {
    const { a, b } = await withStaleValue()
    const loaded = gate<string | undefined>()
    const early = a.remember('k', stale, () => loaded.opened)
    await settle()
    await b.set('k', 'new')
    const late = a.remember('k', stale, () => 'unused')
    await settle()
    loaded.open(undefined)
    expect(await Promise.all([early, late])).toEqual([undefined, 'new'])
  })
})

describe('a value that is not kept', () => {
  test.each([
    ['it replaces a stale one', 'stale', async () => undefined],
    [
      'it is skipped',
      undefined,
      async (context: LoadContext<string>) => {
        context.skip()
        return 'skipped'
      },
    ],
  ])('is not given to callers that came while its claim ended: %s', async (_, found, load) => {
    const { b, backend, clock } = twoProcesses()
    await b.remember('k', stale, () => found)
    if (found === undefined) await b.delete('k')
    const ended = gate()
    const delay = async (call: () => unknown) => {
      const result = await call()
      await ended.opened
      return result
    }
    const { cache: a } = intercepted(backend, 'compareAndSet', delay, clock)
    await clock.advance(20)
    const early = a.remember('k', { ...stale, refresh: true }, load)
    await settle()
    await b.set('k', 'new')
    const late = a.remember('k', stale, () => 'unused')
    await settle()
    ended.open()
    await early
    expect(await late).toBe('new')
  })

  test('is loaded again for callers that joined after its loader had added a tag', async () => {
    const begin = (context: LoadContext<number>) => {
      context.addTags('t')
      context.skip()
    }
    expect(await loadTogether(twoProcesses().a, { begin })).toEqual([1, 2])
  })

  test('is loaded again for callers that joined it, if the end of its lease fails', async () => {
    const { backend } = twoProcesses()
    const failure = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'compareAndSet' })
    const { cache } = intercepted(backend, 'compareAndSet', () => {
      throw failure
    })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await loadTogether(cache, { begin: (context) => context.skip() })).toEqual([1, 2])
    })
    expect(errors).toContainEqual(expect.objectContaining({ key: 'k', error: failure }))
  })

  test('leaves a mark that is over when all processes think so', async () => {
    const { a, backend, clock } = twoProcesses()
    await a.remember('k', {}, (context) => {
      context.skip({ for: 1_000 })
      return 'skipped'
    })
    const mark = parseMark(backend.get('k'))
    expect(mark).toMatchObject({ kind: 'hitForMiss', ms: 1_000 })
    expect(mark?.end).toBe(clock.now() + 1_000 + 50)
  })

  test('is returned when its claim has ended', async () => {
    const { b, backend } = twoProcesses()
    const { cache: a } = intercepted(backend, 'compareAndSet', async (call) => {
      await settle()
      return call()
    })
    const value = await a.remember('k', {}, async (context) => {
      context.addTags('t')
      await b.invalidateTags('t')
      return 'old'
    })
    expect([value, backend.get('k')]).toEqual(['old', undefined])
  })

  test('reads and creates no tags if the claim has failed', async () => {
    const { backend } = twoProcesses()
    const { cache, calls } = intercepted(backend, 'add', () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'add' })
    })
    const value = await cache.remember('k', {}, (context) => {
      context.addTags('t')
      return 'loaded'
    })
    expect(value).toBe('loaded')
    expect(calls.filter((call) => call.includes('~tag'))).toEqual([])
  })

  test('ends its lease although its process has written the key', async () => {
    const { b, backend, clock } = await withStaleValue()
    const delay = async (call: () => unknown) => {
      await settle()
      return call()
    }
    const { cache: a } = intercepted(backend, 'compareAndSet', delay, clock)
    const loaded = gate<string>()
    const loading = a.remember('k', stale, () => loaded.opened)
    await settle()
    expect(backend.get('~refresh:k')).toBeDefined()
    await a.set('k', 'new')
    loaded.open('old')
    await loading
    expect([await b.get('k'), backend.get('~refresh:k')]).toEqual(['new', undefined])
  })

  test('is loaded again for callers that joined it, if it cannot be stored', async () => {
    const { backend } = twoProcesses()
    const { cache } = intercepted(backend, 'compareAndSet', () => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'compareAndSet' })
    })
    expect(await loadTogether(cache)).toEqual([1, 2])
  })
})

test('a tagged value is given to callers that joined its load, unless a tag has been invalidated', async () => {
  const { a, b } = twoProcesses()
  const options = { tags: ['s', 't'] }
  expect(await loadTogether(a, { options })).toEqual([1, 1])
  await a.delete('k')
  const during = () => b.invalidateTags('t')
  expect(await loadTogether(a, { options, during })).toEqual([1, 2])
})
