import { CacheError } from '@stowage/core'
import { BatchError, type ByteStore, wrapStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Fallback } from '../../src/failover/fallback/fallback.ts'
import { OutageId } from '../../src/failover/fallback/outage-id.ts'

const pattern = /^~o[\w-]{8}:$/
const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'x' })

/** The time of `performance.now()`, and of the backend, which a test sets. */
let now = 0
beforeEach(() => {
  now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
})
afterEach(() => {
  vi.mocked(performance.now).mockRestore()
})

/** Ids of processes over one store. */
function setUp({ isShared = true } = {}) {
  const backend = referenceStore({ clock: { now: () => now, sleep: async () => {} } })
  const calls: string[] = []
  const state = { before: (_call: string): unknown => undefined, isUsable: true }
  const store = wrapStore<ByteStore>(backend, async (operation, call, args) => {
    const { consistency } = (args[1] ?? {}) as { consistency?: string }
    const name = `${operation} ${args[0]} ${consistency ?? ''}`.trim()
    calls.push(name)
    await state.before(name)
    return call()
  })
  const replaced: string[] = []
  const create = () =>
    new OutageId(store, isShared, async (id) => {
      replaced.push(id)
      return state.isUsable
    })
  const current = async (id: OutageId) => id.with((each) => each)
  const text = (key: string) => {
    const item = backend.get(key) as Uint8Array | undefined
    return item === undefined ? undefined : String(item)
  }
  return { backend, calls, state, replaced, create, current, text }
}

describe('the id of an outage', () => {
  test('is created at once if others do not share it, and replaced when it ends', async () => {
    const { create, calls } = setUp({ isShared: false })
    const id = create()
    const first = id.with((each) => each)
    expect(first).toMatch(pattern)
    expect(id.with((each) => each)).toBe(first)
    id.refresh()
    await id.renew(true)
    expect(id.with((each) => each)).toBe(first)
    for (const end of [() => id.end(), () => id.replace()]) {
      const before = id.with((each) => each)
      await end()
      expect(id.with((each) => each)).not.toBe(before)
    }
    expect(calls).toEqual([])
  })

  test('is that of all processes which share it, and read once', async () => {
    const { create, current, calls, text } = setUp()
    const [a, b] = [create(), create()]
    const [first, same] = await Promise.all([current(a), current(a)])
    expect([first, same]).toEqual([text('~outage'), text('~outage')])
    expect(first).toMatch(pattern)
    expect(calls).toEqual(['get ~outage strong', 'add ~outage'])
    expect(a.with((each) => each)).toBe(first)
    expect(await current(b)).toBe(first)
    expect(calls.slice(2)).toEqual(['get ~outage strong', 'touch ~outage'])
  })

  test('exists for half a minute after it was renewed', async () => {
    const { create, current, text } = setUp()
    const id = create()
    await current(id)
    now = 29_999
    expect(text('~outage')).toBeDefined()
    await current(create())
    now = 59_998
    expect(text('~outage')).toBeDefined()
    now = 59_999
    expect(text('~outage')).toBeUndefined()
  })

  test('replaces what is not an id', async () => {
    const { create, current, backend, text } = setUp()
    backend.set('~outage', 'foreign')
    const id = create()
    expect([await current(id), text('~outage')]).toEqual([text('~outage'), await current(id)])
    expect(text('~outage')).toMatch(pattern)
  })

  test('is that of the process which has stored it meanwhile', async () => {
    const { create, current, backend, state } = setUp()
    const other = '~oabcdefgh:'
    state.before = (call) => call === 'add ~outage' && backend.set('~outage', other)
    expect(await current(create())).toBe(other)
  })

  test('is one of its own after five conflicts', async () => {
    const { create, current, backend, calls, state } = setUp()
    let conflicts = 0
    state.before = (call) => {
      if (/^(add|compareAndSet)/.test(call)) backend.set('~outage', `foreign ${conflicts++}`)
    }
    expect(await current(create())).toMatch(pattern)
    expect(calls.filter((call) => !call.startsWith('get'))).toHaveLength(6)
  })

  test('is read again once per second, and by others who use the store only', async () => {
    const { create, current, calls, text } = setUp()
    const id = create()
    await id.renew(true)
    expect(calls).toEqual([])
    now = 5_000
    await current(id)
    calls.length = 0
    now = 5_999
    await id.renew(false)
    expect(calls).toEqual([])
    now = 6_000
    await id.renew(false)
    expect(calls).toEqual(['get ~outage strong', 'touch ~outage'])
    calls.length = 0
    now = 7_000
    await id.renew(true)
    expect(calls).toEqual(['get ~outage strong', 'touch ~outage', 'set ~outage-user'])
    expect(text('~outage-user')).toMatch(pattern)
    now = 12_000
    expect(text('~outage-user')).toBeUndefined()
  })

  test('is renewed, and announced, before its calls are made', async () => {
    const { create, current, state, text } = setUp()
    const id = create()
    await current(id)
    state.before = () => new Promise(setImmediate)
    now = 10_000
    await current(create())
    now = 39_999
    expect(text('~outage')).toBeDefined()
    await id.renew(true)
    expect(text('~outage-user')).toBeDefined()
  })

  test('may be renewed later', async () => {
    const { create, current, state } = setUp()
    const id = create()
    const first = await current(id)
    now = 1_000
    state.before = () => {
      throw down
    }
    await id.renew(true)
    expect(await current(id)).toBe(first)
  })

  test('that another process has replaced is reported before it is used', async () => {
    const { create, current, replaced, backend } = setUp()
    const [a, b] = [create(), create()]
    const first = await current(a)
    expect([await current(b), replaced]).toEqual([first, []])
    await b.replace()
    const second = await current(b)
    expect(second).not.toBe(first)
    now = 1_000
    await a.renew(false)
    expect([await current(a), replaced]).toEqual([second, [second]])
    // Also if it is read again for a call.
    a.refresh()
    backend.set('~outage', first)
    expect([await current(a), replaced]).toEqual([first, [second, first]])
    a.refresh()
    a.refresh()
    backend.set('~outage', second)
    expect([await current(a), replaced.length]).toEqual([second, 3])
  })

  test('that cannot be used is replaced', async () => {
    const { create, current, replaced, state, text } = setUp()
    const [a, b] = [create(), create()]
    await current(a)
    await b.with(() => undefined)
    await b.replace()
    const second = await current(b)
    state.isUsable = false
    a.refresh()
    const third = await current(a)
    expect([third === second, replaced, text('~outage')]).toEqual([false, [second], third])
    expect(a.with((each) => each)).toBe(third)
  })

  test('is announced by a refresh, whose failure is harmless', async () => {
    const { create, current, calls, state } = setUp()
    const id = create()
    await current(id)
    calls.length = 0
    id.refresh()
    await new Promise(setImmediate)
    expect(calls).toEqual(['set ~outage-user'])
    state.before = () => {
      throw down
    }
    id.refresh()
    await new Promise(setImmediate)
    expect(calls).toHaveLength(2)
  })
})

describe('the end of an outage', () => {
  test('is that of the process, while another one uses the store only', async () => {
    const { create, current, text } = setUp()
    const [a, b] = [create(), create()]
    const first = await current(a)
    await current(b)
    b.refresh()
    await new Promise(setImmediate)
    await a.end()
    expect(text('~outage')).toBe(first)
    const own = await current(a)
    expect(own).not.toBe(first)
    await current(b)
    await b.end()
    expect([text('~outage') === first, text('~outage-user')]).toEqual([false, undefined])
  })

  test('deletes the id for all otherwise', async () => {
    const { create, current, text, calls } = setUp()
    const id = create()
    await id.end()
    await id.replace()
    expect(calls).toEqual([])
    await current(id)
    calls.length = 0
    await id.end()
    expect(calls).toEqual([
      'get ~outage-user strong',
      expect.stringMatching(/^compareAndSet ~outage/),
    ])
    expect(text('~outage')).toBeUndefined()
    await id.end()
    expect(calls).toHaveLength(2)
  })

  test.each(['end', 'replace'] as const)('%s waits until the id is deleted', async (end) => {
    const { create, current, state, text } = setUp()
    const id = create()
    await current(id)
    state.before = () => new Promise(setImmediate)
    await id[end]()
    expect(text('~outage')).toBeUndefined()
  })

  test('is not the end of the next one, which has an id of its own', async () => {
    const { create, current, replaced } = setUp()
    const id = create()
    await current(id)
    id.refresh()
    await id.end()
    await current(id)
    expect(replaced).toEqual([])
  })

  test('leaves the id of another outage alone, and does not use its own again', async () => {
    const { create, current, backend, text } = setUp()
    const id = create()
    const first = await current(id)
    const other = '~oabcdefgh:'
    backend.set('~outage', other)
    await id.replace()
    expect(text('~outage')).toBe(other)
    backend.set('~outage', first)
    expect(await current(id)).not.toBe(first)
  })

  test('follows from the id before, if that is read again at the moment', async () => {
    const { create, current, text } = setUp()
    const id = create()
    await current(id)
    id.refresh()
    await id.replace()
    expect(text('~outage')).toBeUndefined()
  })

  test.each(['get ~outage-user strong', 'compareAndSet ~outage'])(
    'does not fail with the store: %s',
    async (failing) => {
      const { create, current, state, text } = setUp()
      const id = create()
      const first = await current(id)
      state.before = (call) => {
        if (call.startsWith(failing)) throw down
      }
      await id.end()
      state.before = () => undefined
      expect(text('~outage') === first).toBe(failing.startsWith('compareAndSet'))
      expect(await current(id)).not.toBe(first)
    },
  )
})

async function later<T>(call: () => T): Promise<Awaited<T>> {
  await new Promise(setImmediate)
  return call() as Awaited<T>
}

describe('a fallback store', () => {
  function create({ processLocal = false, maxKeys = 2 } = {}) {
    const backend = referenceStore()
    const calls: unknown[][] = []
    const state: { error?: unknown; isSync?: boolean } = {}
    const store = new Proxy(backend, {
      get(target, name) {
        if (name === 'processLocal') return processLocal
        const member = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          if (!String(args[0]).startsWith('~outage')) calls.push([name, ...args])
          if (state.error !== undefined && !String(args[0]).startsWith('~outage')) {
            if (state.isSync) throw state.error
            return Promise.reject(state.error)
          }
          if (name === 'deleteMany') return later(() => member.apply(target, args))
          return member.apply(target, args)
        }
      },
    }) as unknown as ByteStore
    const fallback = new Fallback(store, maxKeys)
    const named = () =>
      calls.map(([name, ...args]) =>
        JSON.stringify([name, ...args]).replaceAll(/~o[\w-]{8}:/g, 'ID:'),
      )
    return { fallback, calls, named, state, backend, store }
  }
  const strong = { consistency: 'strong' } as const
  const day = 86_400_000

  test('has the id of the outage before its keys, and ttls of at most a day', async () => {
    const { fallback, named, store } = create()
    expect([fallback.isShared, fallback.store, Fallback.keyPrefixBytes]).toEqual([true, store, 11])
    await fallback.get('k', strong)
    await fallback.getMany(['k', 'l'], strong)
    await fallback.set('k', 'v')
    await fallback.set('k', 'v', 5)
    await fallback.setMany([['k', 'v']], 2 * day)
    await fallback.add('k', 'v', 5)
    await fallback.compareAndSet('k', 'v', 'w', 5)
    await fallback.increment('n', 2, 5)
    await fallback.touch('k', 5)
    await fallback.delete('k')
    await fallback.deleteMany(['k', 'l'])
    expect(named()).toEqual(
      [
        ['get', 'ID:k', strong],
        ['getMany', ['ID:k', 'ID:l'], strong],
        ['set', 'ID:k', 'v', day],
        ['set', 'ID:k', 'v', 5],
        ['setMany', [['ID:k', 'v']], day],
        ['add', 'ID:k', 'v', 5],
        ['compareAndSet', 'ID:k', 'v', 'w', 5],
        ['increment', 'ID:n', 2, 5],
        ['touch', 'ID:k', 5],
        ['delete', 'ID:k'],
        ['deleteMany', ['ID:k', 'ID:l']],
      ].map((call) => JSON.stringify(call)),
    )
  })

  test.each([true, false])('lists its keys without the id, shared: %s', async (isShared) => {
    const { fallback, backend, store } = create({ processLocal: !isShared })
    backend.set('another', 'v')
    for (const key of ['p:a', 'p:b', 'q']) await fallback.set(key, 'v')
    const keys: string[] = []
    const listed = isShared ? new Fallback(store, 2) : fallback
    for await (const page of listed.scan('p:')) keys.push(...page)
    expect(keys.sort()).toEqual(['p:a', 'p:b'])
    expect(fallback.isShared).toBe(isShared)
  })

  test('lists nothing if its store cannot list keys', async () => {
    const fallback = new Fallback(referenceStore({ scan: false }) as never, 2)
    await fallback.set('k', 'v')
    for await (const page of fallback.scan('')) expect.unreachable(String(page))
  })

  test.each([true, false])('has errors without the id, at once: %s', async (isSync) => {
    const { fallback, state, calls } = create()
    await fallback.get('k')
    const key = (calls[0] as string[])[1] as string
    state.isSync = isSync
    state.error = new CacheError('ERR_CACHE_TIMEOUT', 'late', { operation: 'get', key })
    await expect((async () => fallback.get('k'))()).rejects.toMatchObject({
      ...{ code: 'ERR_CACHE_TIMEOUT', operation: 'get', key: 'k' },
    })
    for (const other of [
      new CacheError('ERR_CACHE_TIMEOUT', 'late', { operation: 'get', key: 'other' }),
      new CacheError('ERR_CACHE_TIMEOUT', 'late', { key }),
      new CacheError('ERR_CACHE_TIMEOUT', 'late', { operation: 'get' }),
    ]) {
      state.error = other
      await expect((async () => fallback.get('k'))()).rejects.toBe(other)
    }
  })

  test('has the outcome of each key of a batch, without the id', async () => {
    const { fallback, state, calls } = create()
    await fallback.get('b')
    const key = (calls[0] as string[])[1] as string
    const reason = new CacheError('ERR_CACHE_TIMEOUT', 'late', { operation: 'getMany', key })
    const read = { status: 'fulfilled', value: 'v' } as const
    state.error = new BatchError([read, { status: 'rejected', reason }])
    await expect(fallback.getMany(['a', 'b'])).rejects.toMatchObject({
      key: 'b',
      outcomes: [read, { status: 'rejected', reason: { message: 'late', key: 'b' } }],
    })
  })

  test('begins without items after an outage', async () => {
    const { fallback } = create()
    for (const end of [() => fallback.end(), () => fallback.drop()]) {
      const before = fallback.endings
      await fallback.set('k', 'v')
      await end()
      expect([fallback.endings, await fallback.get('k')]).toEqual([before + 1, undefined])
    }
  })

  /** Two processes over one store, of which the second one has ended the outage of the first. */
  async function replaced(keys: readonly string[]) {
    const { fallback, store, calls } = create()
    const other = new Fallback(store, 10)
    let replacements = 0
    fallback.onReplaced = () => {
      replacements++
    }
    await fallback.get('a')
    for (const key of keys) await fallback.set(key, 'v')
    await other.set('a', 'of the other')
    await other.drop()
    for (const key of ['a', 'b', 'z']) await other.set(key, 'of the other')
    fallback.refresh()
    const items = await fallback.getMany(['a', 'b', 'z'])
    return {
      items: items.map((item) => item && String(item)),
      replacements,
      calls,
      fallback,
      other,
    }
  }

  test('loses what this process has changed, if another one has replaced its items', async () => {
    const { items, replacements, fallback, other } = await replaced(['a', 'b', 'a'])
    expect([items, replacements]).toEqual([[undefined, undefined, 'of the other'], 1])
    // What was changed is known from then on.
    await other.drop()
    await other.set('a', 'again')
    fallback.refresh()
    expect(String(await fallback.get('a'))).toBe('again')
  })

  test('loses everything, if it is not known what this process has changed', async () => {
    const { items, replacements, calls } = await replaced(['a', 'b', 'c'])
    expect([items, replacements]).toEqual([[undefined, undefined, undefined], 1])
    expect(calls.filter(([name]) => name === 'deleteMany')).toEqual([])
  })

  test.each(['end', 'drop'] as const)('has no changes any more after %s', async (end) => {
    const { fallback, store } = create()
    const other = new Fallback(store, 10)
    for (const key of ['a', 'b', 'c']) await fallback.set(key, 'v')
    await fallback[end]()
    await fallback.get('a')
    await other.get('a')
    await other.drop()
    await other.set('a', 'of the other')
    fallback.refresh()
    expect(String(await fallback.get('a'))).toBe('of the other')
  })

  test('keeps the items of the other process, if this one has changed nothing', async () => {
    const { items, replacements, calls } = await replaced([])
    expect([items, replacements]).toEqual([Array(3).fill('of the other'), 1])
    expect(calls.filter(([name]) => name === 'deleteMany')).toEqual([])
  })

  test.each<[string, (fallback: Fallback) => unknown, boolean]>([
    ['setMany', (fallback) => fallback.setMany([['a', 'v']]), true],
    ['deleteMany', (fallback) => fallback.deleteMany(['a']), true],
    ['delete', (fallback) => fallback.delete('a'), true],
    ['touch', (fallback) => fallback.touch('a'), false],
    ['get', (fallback) => fallback.get('a'), false],
  ])('knows the keys that were changed by %s', async (_, change, isChanged) => {
    const { fallback, store } = create()
    const other = new Fallback(store, 10)
    await change(fallback)
    await other.get('a')
    await other.drop()
    await other.set('a', 'of the other')
    fallback.refresh()
    expect((await fallback.get('a')) === undefined).toBe(isChanged)
  })
})
