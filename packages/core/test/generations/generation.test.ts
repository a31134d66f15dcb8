import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { Generation } from '../../src/generations/generation.ts'
import type { AnyStore } from '../../src/store.ts'
import { gate, settle } from '../remember/two-processes.ts'

const refreshMs = 1_000
const idKeys = [0, 1, 2].map((copy) => `app:~generation${copy === 0 ? '' : copy}`)
const prefixPattern = /^app:[0-9a-z]+\.[\w-]{8}:$/

/** Generations of one process. A test makes keys unreachable, and delays the replies to reads. */
function setUp() {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const calls: string[] = []
  const isDown = new Set<string>()
  let timeReads = 0
  const state = {
    replied: Promise.resolve(),
    stored: Promise.resolve(),
    cleared: Promise.resolve(),
  }
  const wrapped = wrapStore<ByteStore>(backend, async (operation, call, [key]) => {
    calls.push(`${operation} ${String(key)}`)
    const replied = state.replied
    if ([...isDown].some((part) => String(key).startsWith(part))) throw new Error('no reply')
    if (operation === 'compareAndSet') await state.cleared
    const result = await call()
    if (operation === 'get') await replied
    if (operation === 'add') await state.stored
    return result
  })
  const time = async () => {
    timeReads++
    return clock.now()
  }
  const store = Object.assign(wrapped, { time }) as unknown as AnyStore
  const create = (prefix = 'app:', outer?: Generation) =>
    new Generation(store, prefix, clock, outer)
  const idAt = (key: string | undefined) => {
    const item = backend.get(key as string)
    return item === undefined ? undefined : String(item)
  }
  const lose = (keys: readonly string[] = idKeys) => backend.deleteMany(keys)
  /** The prefix with which a call was made last. */
  const prefixOf = async (generation: Generation, kind: 'read' | 'write' = 'write') =>
    generation.callConfirmed(kind, (prefix) => prefix)
  const reads = () => timeReads
  return { create, backend, calls, isDown, state, clock, idAt, lose, prefixOf, timeReads: reads }
}

test('the length of the prefix includes the ids of all generations', () => {
  const { create } = setUp()
  const outer = create('é:')
  expect(outer.keyPrefixBytes).toBe(3 + 20 + 1)
  expect(create('users:', outer).keyPrefixBytes).toBe(24 + 6 + 20 + 1)
})

test('keys begin with the prefixes and ids of all generations, which lie beside each other', async () => {
  const { create, prefixOf, idAt } = setUp()
  const outer = create()
  const inner = create('users:', outer)
  const prefix = await prefixOf(inner)
  const ids = [idAt('app:~generation'), idAt('app:users:~generation')]
  expect(prefix).toBe(`app:${ids[0]}:users:${ids[1]}:`)
  expect([outer.keyPrefix, inner.keyPrefix]).toEqual([`app:${ids[0]}:`, prefix])
})

test('generations within each other share the time of the backend', async () => {
  const { create, timeReads, clock } = setUp()
  const outer = create()
  expect(await outer.time()).toBe(clock.now())
  expect(await create('users:', outer).time()).toBe(clock.now())
  expect(timeReads()).toBe(1)
})

describe('the known id', () => {
  test('is fresh for a second after its read was sent, and until it may have changed', async () => {
    const { create, prefixOf, clock } = setUp()
    const outer = create()
    const inner = create('users:', outer)
    expect([outer.isFresh(), inner.isFresh()]).toEqual([false, false])
    await prefixOf(outer)
    expect([outer.isFresh(), inner.isFresh()]).toEqual([true, false])
    await prefixOf(inner)
    expect(inner.isFresh()).toBe(true)
    await clock.advance(refreshMs - 1)
    expect(inner.isFresh()).toBe(true)
    outer.expire()
    expect([outer.isFresh(), inner.isFresh()]).toEqual([false, false])
    await prefixOf(inner)
    expect(inner.isFresh()).toBe(true)
    await clock.advance(refreshMs)
    expect(inner.isFresh()).toBe(false)
  })

  test('is not fresh after a read that was in flight when it may have changed', async () => {
    const { create, prefixOf, state, calls } = setUp()
    const generation = create()
    await prefixOf(generation)
    const reply = gate()
    state.replied = reply.opened
    const reading = prefixOf(generation)
    await settle()
    generation.expire()
    reply.open()
    await reading
    expect(generation.isFresh()).toBe(false)
    calls.length = 0
    await generation.callRefreshing(() => undefined)
    expect(calls).toEqual(idKeys.map((key) => `get ${key}`))
    expect(generation.isFresh()).toBe(true)
  })

  test('is used although the older copies that were found cannot be replaced', async () => {
    const { create, prefixOf, backend, state, idAt } = setUp()
    const generation = create()
    const prefix = await prefixOf(generation)
    for (const key of idKeys) await backend.set(key, Buffer.from('a.aaaaaaaa'))
    state.cleared = Promise.reject(new Error('no reply'))
    expect(await prefixOf(generation, 'read')).toBe(prefix)
    state.cleared = Promise.resolve()
    expect(await prefixOf(generation)).toBe(prefix)
    expect(idKeys.map(idAt)).toEqual(Array(3).fill(prefix.slice('app:'.length, -1)))
  })

  test('is not fresh after a clear that was in flight when it may have changed', async () => {
    const { create, prefixOf, state } = setUp()
    const generation = create()
    await prefixOf(generation)
    const reply = gate()
    state.cleared = reply.opened
    const clearing = generation.clear()
    await settle()
    generation.expire()
    reply.open()
    await clearing
    expect(generation.isFresh()).toBe(false)
    await generation.callRefreshing(() => undefined)
    expect(generation.isFresh()).toBe(true)
  })

  test('is read again if it may have changed since a read was sent', async () => {
    const { create, prefixOf, state, calls, clock } = setUp()
    const generation = create()
    await prefixOf(generation)
    await clock.advance(refreshMs)
    const reply = gate()
    state.replied = reply.opened
    calls.length = 0
    const reads = [generation.callRefreshing(() => {}), generation.callRefreshing(() => {})]
    await settle()
    expect(calls).toHaveLength(3)
    generation.expire()
    reads.push(generation.callRefreshing(() => {}))
    await settle()
    expect(calls).toHaveLength(6)
    reply.open()
    await Promise.all(reads)
  })

  test('is read for the first time only where it is not known', async () => {
    const { create, prefixOf, calls } = setUp()
    const outer = create()
    await prefixOf(outer)
    calls.length = 0
    await create('users:', outer).callRefreshing(() => {})
    expect(calls.length).toBeGreaterThan(0)
    expect(calls.filter((call) => call.includes(' app:~'))).toEqual([])
  })

  test('is used at once', async () => {
    const { create, prefixOf } = setUp()
    const generation = create()
    await prefixOf(generation)
    const sent: string[] = []
    const calls = [
      generation.callRefreshing(() => sent.push('refreshing')),
      generation.callConfirmed('write', () => sent.push('confirmed')),
    ]
    expect(sent).toEqual(['refreshing', 'confirmed'])
    await Promise.all(calls)
  })

  test('is read again only by calls that need it', async () => {
    const { create, prefixOf, calls, clock } = setUp()
    const outer = create()
    const inner = create('users:', outer)
    await prefixOf(inner)
    calls.length = 0
    expect(await inner.callRefreshing((prefix) => prefix)).toBe(inner.keyPrefix)
    expect(calls).toEqual([])
    await clock.advance(refreshMs)
    await Promise.all([inner.callRefreshing(() => {}), inner.callRefreshing(() => {})])
    expect(calls).toHaveLength(6)
    calls.length = 0
    await Promise.all([prefixOf(outer), prefixOf(outer)])
    await prefixOf(outer)
    expect(calls).toHaveLength(6)
  })

  test('is waited for once by the calls that begin before it is known', async () => {
    const { create, calls, state } = setUp()
    const generation = create()
    const reply = gate()
    state.replied = reply.opened
    const sent: string[] = []
    const call = (name: string) => (prefix: string) => {
      sent.push(name)
      return prefix
    }
    const all = [
      generation.callConfirmed('write', call('first')),
      generation.callRefreshing(call('second')),
      generation.callConfirmed('read', call('third')),
    ]
    await settle()
    expect(sent).toEqual([])
    reply.open()
    const prefixes = new Set(await Promise.all(all))
    expect([prefixes.size, sent]).toEqual([1, ['first', 'second', 'third']])
    // Nine for the start, and three for the confirmation of both.
    expect(calls.filter((each) => each.startsWith('get'))).toHaveLength(12)
  })
})

describe('while the ids are unreachable', () => {
  async function failing() {
    const setting = setUp()
    const generation = setting.create()
    const known = await setting.prefixOf(generation)
    await setting.clock.advance(refreshMs)
    setting.isDown.add('app:~generation')
    return { ...setting, generation, known }
  }

  test.each([
    ['write', true],
    ['changeExisting', true],
    ['read', false],
    ['add', false],
  ] as const)('a %s is made with the known one: %s', async (kind, isMade) => {
    const { generation, known } = await failing()
    const call = generation.callConfirmed(kind, (prefix) => prefix)
    if (isMade) expect(await call).toBe(known)
    else await expect(call).rejects.toThrow('no reply')
  })

  test('a read that fails itself has its own error', async () => {
    const { generation } = await failing()
    const error = new Error('its own')
    const call = generation.callConfirmed('read', () => Promise.reject(error))
    await expect(call).rejects.toBe(error)
  })

  test('a process that knows none cannot start, and tries again', async () => {
    const { create, isDown, prefixOf } = setUp()
    isDown.add('app:~')
    const generation = create()
    await expect(prefixOf(generation)).rejects.toThrow('no reply')
    isDown.clear()
    expect(await prefixOf(generation)).toMatch(prefixPattern)
  })

  test('reads that need not be strong wait for one attempt, and then for none', async () => {
    const { generation, known, calls, state, clock, isDown } = await failing()
    const read = () => generation.callRefreshing((prefix) => prefix)
    expect(await read()).toBe(known)
    expect(generation.isFresh()).toBe(true)
    // A second later they try again, without waiting for it.
    await clock.advance(refreshMs)
    calls.length = 0
    isDown.clear()
    state.replied = new Promise(() => {})
    expect(await read()).toBe(known)
    expect(calls).toHaveLength(3)
  })

  test('the next attempt finds the clear of another process', async () => {
    const { generation, known, create, isDown, clock } = await failing()
    const read = () => generation.callRefreshing((prefix) => prefix)
    await read()
    isDown.clear()
    await create().clear()
    await clock.advance(2 * refreshMs)
    expect(await read()).not.toBe(known)
  })
})

describe('ids that are lost', () => {
  test('are restored within two seconds after they were confirmed', async () => {
    const { create, prefixOf, lose, clock, idAt } = setUp()
    const generation = create()
    const known = await prefixOf(generation)
    await clock.advance(2 * refreshMs - 1)
    await lose()
    expect(await prefixOf(generation)).toBe(known)
    expect(idKeys.map((key) => `app:${idAt(key)}:`)).toEqual(Array(3).fill(known))
  })

  test('are replaced by a new one later', async () => {
    const { create, prefixOf, lose, clock, idAt } = setUp()
    const generation = create()
    const known = await prefixOf(generation)
    await clock.advance(2 * refreshMs)
    await lose()
    const prefix = await prefixOf(generation)
    expect([prefix === known, prefix]).toEqual([false, `app:${idAt(idKeys[0])}:`])
  })

  test('in part are stored again, at most once per second', async () => {
    const { create, prefixOf, lose, clock, calls } = setUp()
    const generation = create()
    await prefixOf(generation)
    const repairs = async () => {
      await lose([idKeys[1] as string])
      calls.length = 0
      await prefixOf(generation)
      return calls.filter((call) => call.startsWith('add')).length
    }
    expect([await repairs(), await repairs()]).toEqual([1, 0])
    await clock.advance(refreshMs)
    expect(await repairs()).toBe(1)
    calls.length = 0
    await prefixOf(generation)
    expect(calls).toHaveLength(3)
  })

  test('in part are not stored by a second call meanwhile', async () => {
    const { create, prefixOf, lose, calls, state } = setUp()
    const generation = create()
    await prefixOf(generation)
    await lose([idKeys[1] as string])
    const stored = gate()
    state.stored = stored.opened
    calls.length = 0
    let isDone = false
    const first = prefixOf(generation).finally(() => {
      isDone = true
    })
    await settle()
    expect(isDone).toBe(false)
    await lose([idKeys[1] as string])
    const second = prefixOf(generation)
    await settle()
    expect(calls.filter((call) => call.startsWith('add'))).toHaveLength(1)
    stored.open()
    await Promise.all([first, second])
  })

  test('and replaced by an older one are stored again at once', async () => {
    const { create, prefixOf, backend, idAt } = setUp()
    const generation = create()
    await prefixOf(generation)
    const old = idAt(idKeys[0]) as string
    await generation.clear()
    const current = idAt(idKeys[0])
    for (const stale of [idKeys, [idKeys[2] as string], [idKeys[0] as string]]) {
      for (const key of stale) await backend.set(key, old)
      expect(await prefixOf(generation)).toBe(`app:${current}:`)
      expect(idKeys.map(idAt)).toEqual(Array(3).fill(current))
    }
  })
})

describe('a clear', () => {
  test('begins a generation that is newer than all others, and is known at once', async () => {
    const { create, prefixOf, backend, clock, idAt } = setUp()
    const generation = create()
    const known = await prefixOf(generation)
    await backend.setMany(idKeys.map((key) => [key, `${(clock.now() + 50).toString(36)}.aaaaaaaa`]))
    await generation.clear()
    expect(generation.keyPrefix).not.toBe(known)
    expect(generation.isFresh()).toBe(true)
    const id = idAt(idKeys[0]) as string
    expect(Number.parseInt(id, 36)).toBe(clock.now() + 51)
    expect(generation.keyPrefix).toBe(`app:${id}:`)
  })

  test('rejects if no copy can be read', async () => {
    const { create, isDown, prefixOf } = setUp()
    const generation = create()
    const known = await prefixOf(generation)
    isDown.add('app:~')
    await expect(generation.clear()).rejects.toThrow('no reply')
    expect(generation.keyPrefix).toBe(known)
  })

  test('that fails does not keep the writes before it from being repeated', async () => {
    const { create, isDown, prefixOf, state } = setUp()
    const generation = create()
    await prefixOf(generation)
    const reply = gate()
    state.replied = reply.opened
    const sent: string[] = []
    const writing = generation.callConfirmed('write', (prefix) => sent.push(prefix))
    await settle()
    const [read, confirmed] = [gate(), Promise.resolve()]
    state.replied = read.opened
    const clearing = generation.clear()
    await settle()
    isDown.add('app:~')
    read.open()
    await expect(clearing).rejects.toThrow('no reply')
    isDown.clear()
    state.replied = confirmed
    await create().clear()
    await prefixOf(generation, 'read')
    expect(sent).toHaveLength(2)
    reply.open()
    await writing
    expect(sent.at(-1)).toBe(generation.keyPrefix)
  })

  test('in flight does not keep the writes before it from being repeated after an older one', async () => {
    const { create, backend, prefixOf, state, clock, idAt } = setUp()
    const generation = create()
    await prefixOf(generation)
    const known = Number.parseInt(idAt(idKeys[0]) as string, 36)
    await clock.advance(10)
    const [confirmed, cleared] = [gate(), gate()]
    state.replied = confirmed.opened
    const sent: string[] = []
    const writing = generation.callConfirmed('write', (prefix) => sent.push(prefix))
    await settle()
    state.replied = Promise.resolve()
    state.cleared = cleared.opened
    const clearing = generation.clear()
    await settle()
    const older = `${(known + 5).toString(36)}.aaaaaaaa`
    await backend.setMany(idKeys.map((key) => [key, older]))
    await prefixOf(generation, 'read')
    expect(sent.at(-1)).toBe(`app:${older}:`)
    cleared.open()
    confirmed.open()
    await Promise.all([writing, clearing])
  })

  test('of another process repeats the calls in flight, each in its generation', async () => {
    const { create, prefixOf, state } = setUp()
    const outer = create()
    const inner = create('users:', outer)
    await prefixOf(inner)
    const other = create()
    const before = inner.keyPrefix
    const sent: string[] = []
    await other.clear()
    const reply = gate()
    state.replied = reply.opened
    const call = inner.callConfirmed('write', (prefix) => {
      sent.push(prefix)
      return prefix
    })
    await settle()
    expect(sent).toEqual([before])
    reply.open()
    const result = await call
    expect(sent).toEqual([before, inner.keyPrefix])
    expect(result).toBe(`${other.keyPrefix}${before.slice(outer.keyPrefix.length)}`)
  })

  test.each([
    ['read', 2],
    ['changeExisting', 2],
    ['write', 1],
    ['add', 1],
  ] as const)(
    'of this process repeats a %s that was made before: %d calls',
    async (kind, count) => {
      const { create, prefixOf, state } = setUp()
      const generation = create()
      await prefixOf(generation)
      const reply = gate()
      state.replied = reply.opened
      const sent: string[] = []
      const call = generation.callConfirmed(kind, (prefix) => sent.push(prefix))
      await settle()
      state.replied = Promise.resolve()
      await generation.clear()
      reply.open()
      await call
      expect(sent).toHaveLength(count)
      const later: string[] = []
      await generation.callConfirmed(kind, (prefix) => later.push(prefix))
      expect(later).toEqual([generation.keyPrefix])
    },
  )
})
