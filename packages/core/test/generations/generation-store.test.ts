import { describe, expect, test, vi } from 'vitest'
import { Lifecycle } from '../../src/calls/in-flight.ts'
import type { Generation } from '../../src/generations/generation.ts'
import { GenerationStore } from '../../src/generations/generation-store.ts'
import {
  type CallKind,
  type PrefixedCall,
  UnconfirmedCall,
} from '../../src/generations/unconfirmed-call.ts'
import type { AnyStore, ReadOptions } from '../../src/store.ts'

const strong: ReadOptions = { consistency: 'strong' }

/** A store whose generation tells by its prefix how a call was made, and which returns what it was called with. */
function setUp({ isFresh = true, hasTtl = true, hasLocate = true } = {}) {
  const kinds: CallKind[] = []
  const confirmed: Record<string, unknown> = {}
  const generation = {
    keyPrefix: 'known:',
    keyPrefixBytes: 6,
    isFresh: () => isFresh,
    callRefreshing: <T>(call: PrefixedCall<T>) => call('refreshed:'),
    callConfirmed: (kind: CallKind, call: PrefixedCall<unknown>) => {
      kinds.push(kind)
      const result = call('confirmed:')
      return kind === 'read' && String(result) in confirmed ? confirmed[String(result)] : result
    },
    clear: vi.fn(async () => {}),
    time: async () => 42,
  } as unknown as Generation
  const found: Record<string, unknown> = {}
  const note =
    (name: string) =>
    (...args: unknown[]) => [name, ...args]
  const names = ['getMany', 'set', 'setMany', 'add', 'compareAndSet', 'increment', 'touch']
  const inner = {
    ...Object.fromEntries([...names, 'delete', 'deleteMany'].map((name) => [name, note(name)])),
    get: (key: string, options?: ReadOptions) =>
      key in found ? found[key] : ['get', key, options],
    limits: { keyBytes: 100, valueBytes: 7, ttlStep: 1 },
    getWithTtl: hasTtl ? note('getWithTtl') : undefined,
    diagnostics: {
      check: (options: unknown) => ['check', options],
      locate: hasLocate ? (key: string) => `at ${key}` : undefined,
    },
  } as unknown as AnyStore
  const closeStore = vi.fn(async () => {})
  const lifecycle = new Lifecycle('test')
  const store = new GenerationStore(inner, generation, lifecycle, closeStore)
  return { store, kinds, found, generation, closeStore }
}

test('reads use the known ids as long as they are fresh', async () => {
  const { store, kinds } = setUp()
  expect(store.get('k')).toEqual(['get', 'known:k', undefined])
  expect(store.getMany(['k', 'l'])).toEqual(['getMany', ['known:k', 'known:l'], undefined])
  expect(store.getWithTtl?.(['k', 'l'])).toEqual(['getWithTtl', ['known:k', 'known:l'], undefined])
  expect(kinds).toEqual([])
  const refreshing = setUp({ isFresh: false })
  expect(await refreshing.store.get('k')).toEqual(['get', 'refreshed:k', undefined])
})

test('strong reads confirm the ids, unless they need not', async () => {
  const { store, kinds } = setUp()
  expect(await store.get('k', strong)).toEqual(['get', 'confirmed:k', strong])
  expect(await store.getMany(['k'], strong)).toEqual(['getMany', ['confirmed:k'], strong])
  expect(await store.getWithTtl?.(['k'], strong)).toEqual(['getWithTtl', ['confirmed:k'], strong])
  expect(kinds).toEqual(['read', 'read', 'read'])
  const unconfirmed = { ...strong, confirmGeneration: false } as const
  expect(store.get('k', unconfirmed)).toEqual(['get', 'known:k', unconfirmed])
  const eventual = { consistency: 'eventual' } as const
  expect(store.get('k', eventual)).toEqual(['get', 'known:k', eventual])
})

test('a read that confirms a miss reads with the known ids first', async () => {
  const { store, kinds, found } = setUp()
  const options = { ...strong, confirmGeneration: 'on-miss' } as const
  expect(await store.get('k', options)).toEqual(['get', 'known:k', options])
  expect(kinds).toEqual([])
  for (const miss of [undefined, Promise.resolve(undefined)]) {
    kinds.length = 0
    found['known:k'] = miss
    expect(await store.get('k', options)).toEqual(['get', 'confirmed:k', options])
    expect(kinds).toEqual(['read'])
  }
})

test('writes and changes confirm the ids', async () => {
  const { store, kinds } = setUp()
  const entries = [
    ['k', 'v'],
    ['l', 'w'],
  ] as const
  const calls: readonly [CallKind, unknown, unknown[]][] = [
    ['write', store.set('k', 'v', 5), ['set', 'confirmed:k', 'v', 5]],
    [
      'write',
      store.setMany(entries, 5),
      [
        'setMany',
        [
          ['confirmed:k', 'v'],
          ['confirmed:l', 'w'],
        ],
        5,
      ],
    ],
    ['add', store.add('k', 'v', 5), ['add', 'confirmed:k', 'v', 5]],
    [
      'changeExisting',
      store.compareAndSet('k', 'a', 'b', 5),
      ['compareAndSet', 'confirmed:k', 'a', 'b', 5],
    ],
    ['write', store.increment('k', 2, 5), ['increment', 'confirmed:k', 2, 5]],
    ['changeExisting', store.touch('k', 5), ['touch', 'confirmed:k', 5]],
    ['changeExisting', store.delete('k'), ['delete', 'confirmed:k']],
    [
      'changeExisting',
      store.deleteMany(['k', 'l']),
      ['deleteMany', ['confirmed:k', 'confirmed:l']],
    ],
  ]
  expect(kinds).toEqual(calls.map(([kind]) => kind))
  for (const [, result, expected] of calls) expect(await result).toEqual(expected)
})

test('the prefix counts among the bytes of a key, and the time is that of the generation', async () => {
  const { store } = setUp()
  expect(store.limits).toEqual({ keyBytes: 94, valueBytes: 7, ttlStep: 1 })
  expect(await store.time?.()).toBe(42)
  expect(setUp({ hasTtl: false }).store.getWithTtl).toBeUndefined()
})

test('diagnostics find the node of a key with its prefix', async () => {
  const { diagnostics } = setUp().store
  expect(await diagnostics?.locate?.('k')).toBe('at known:k')
  expect(diagnostics?.check(undefined as never)).toEqual(['check', undefined])
  expect(setUp({ hasLocate: false }).store.diagnostics?.locate).toBeUndefined()
})

test('clear begins a generation, and nothing is called after close', async () => {
  const { store, generation, closeStore } = setUp()
  await store.clear()
  expect(generation.clear).toHaveBeenCalledOnce()
  await store.close()
  expect(closeStore).toHaveBeenCalledOnce()
  const closed = expect.objectContaining({ code: 'ERR_CACHE_CLOSED' })
  expect(() => store.get('k')).toThrow(closed)
  for (const call of [store.get('k', strong), store.set('k', 'v'), store.clear()])
    await expect(call).rejects.toEqual(closed)
})

describe('a call that is not confirmed', () => {
  test.each<[CallKind, boolean]>([
    ['read', false],
    ['changeExisting', false],
    ['write', true],
    ['add', true],
  ])('%s: must not be repeated after a later clear: %s', (kind, isExpected) => {
    const call = new UnconfirmedCall(kind, () => 1, ['a'], 4)
    expect([3, 4, 5].map((clear) => call.isWriteBefore(clear))).toEqual([false, false, isExpected])
  })

  test('is repeated with a new prefix of one generation', async () => {
    const sent: string[] = []
    const call = new UnconfirmedCall('read', (prefix) => sent.push(prefix), ['a:', 'b:', 'c:'], 0)
    expect(await call.result).toBe(1)
    call.repeat(1, 'new:')
    expect(await call.result).toBe(2)
    expect(sent).toEqual(['a:b:c:', 'a:new:c:'])
  })

  test('rejects only with the result of its last repetition', async () => {
    let count = 0
    const attempt = () => {
      if (count++ < 2) throw new Error(`attempt ${count}`)
      return 'result'
    }
    const call = new UnconfirmedCall<string>('read', attempt, [''], 0)
    call.repeat(0, '')
    await expect(call.result).rejects.toThrow('attempt 2')
    call.repeat(0, '')
    expect(await call.result).toBe('result')
  })
})
