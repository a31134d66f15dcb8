import { CacheError, memo } from '@stowage/core'
import { BatchError, wrapStore } from '@stowage/core/driver'
import { ReferenceStore, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate } from '../remember/two-processes.ts'

test('makes the reads of a batch that were not made before', async () => {
  const batches: unknown[] = []
  const store = memo(
    wrapStore(referenceStore(), (operation, call, args) => {
      batches.push(operation === 'getMany' ? args[0] : operation)
      return call()
    }),
  )
  await memo.scope(async () => {
    await store.get('a')
    await store.getMany(['a', 'b'])
    await store.getMany(['b', 'a'])
    await store.set('c', 'value')
    await store.getMany(['a', 'c'])
    await store.getMany(['b'], { consistency: 'strong' })
  })
  expect(batches).toEqual(['get', ['b'], 'set', ['c'], ['b']])
})

test('each key has its own outcome if some of a batch fail', async () => {
  const reason = new CacheError('ERR_CACHE_UNAVAILABLE', 'its node is down')
  const outcomeOf = (key: string) =>
    key === 'c'
      ? ({ status: 'rejected', reason } as const)
      : ({ status: 'fulfilled', value: `of ${key}` } as const)
  const inner = Object.assign(new ReferenceStore(), {
    get: async (key: string) => `of ${key}`,
    getMany: async (keys: readonly string[]) => {
      throw new BatchError(keys.map(outcomeOf))
    },
  })
  const store = memo(inner)
  await memo.scope(async () => {
    await store.get('a')
    const keys = ['a', 'b', 'c', 'b']
    const error = await Promise.resolve(store.getMany(keys)).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE', outcomes: keys.map(outcomeOf) })
  })
})

describe('a read that ends after a write of its key', () => {
  /** A store whose reads end as a test decides. */
  function setUpReads() {
    const replies = Array.from({ length: 3 }, () => gate<Uint8Array>())
    let reads = 0
    const inner = Object.assign(new ReferenceStore(), {
      get: () => (replies[reads++] as (typeof replies)[0]).opened,
    })
    return { store: memo(inner), replies, reads: () => reads }
  }
  const [old, current] = [new Uint8Array([0]), new Uint8Array([1])]

  test('is not kept', async () => {
    const { store, replies } = setUpReads()
    await memo.scope(async () => {
      const reading = store.get('k')
      await store.set('k', 'new')
      replies[0]?.open(old)
      expect(await reading).toBe(old)
      replies[1]?.open(current)
      expect(await store.get('k')).toBe(current)
    })
  })

  test('does not replace the read after it', async () => {
    const { store, replies, reads } = setUpReads()
    await memo.scope(async () => {
      const outdated = [store.get('k')]
      await store.set('k', 'new')
      const reading = store.get('k')
      replies[0]?.open(old)
      await Promise.all(outdated)
      replies[1]?.open(current)
      expect(await reading).toBe(current)
      expect(await store.get('k')).toBe(current)
      expect(reads()).toBe(2)
    })
  })

  test('does not drop the read after it if it fails', async () => {
    const { store, replies, reads } = setUpReads()
    await memo.scope(async () => {
      const failing = store.get('k')
      await store.set('k', 'new')
      replies[1]?.open(current)
      await store.get('k')
      replies[0]?.fail(new Error('no reply'))
      await expect(failing).rejects.toThrow('no reply')
      expect(await store.get('k')).toBe(current)
      expect(reads()).toBe(2)
    })
  })
})

test('a read after a write that is not awaited returns what is written', async () => {
  const store = memo(wrapStore(referenceStore(), async (_operation, call) => call()))
  await memo.scope(async () => {
    expect(await store.get('k')).toBeUndefined()
    const writing = store.set('k', 'value')
    expect(await store.get('k')).toBeDefined()
    await writing
  })
})

test('a read during a write is not kept', async () => {
  const inner = referenceStore()
  const written = gate()
  const set: typeof inner.set = async (key, payload) => {
    await written.opened
    await inner.set(key, payload)
  }
  const store = memo({ ...wrapStore(inner, (_operation, call) => call()), set })
  await memo.scope(async () => {
    const writing = store.set('k', 'value')
    expect(await store.get('k')).toBeUndefined()
    written.open()
    await writing
    expect(await store.get('k')).toBeDefined()
  })
})

test('a closed store has no reads either', async () => {
  const store = memo(referenceStore())
  await memo.scope(async () => {
    await store.get('k')
    await store.close()
    await expect(async () => store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })
})

test('a read that has ended is synchronous', async () => {
  const store = memo(wrapStore(referenceStore(), async (_operation, call) => call()))
  await memo.scope(async () => {
    await store.set('k', 'value')
    const item = await store.get('k')
    expect(store.get('k')).toBe(item)
  })
})
