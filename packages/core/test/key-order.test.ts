import { BatchError, type ByteStore, type Payload, withKeyOrder, wrapStore } from '@stowage/core'
import { conform, ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** A store whose calls take effect in the order of `delays`, in milliseconds, one for each call. */
function overtaking(delays: number[]): { store: ByteStore; calls: string[] } {
  const calls: string[] = []
  const store = wrapStore(referenceStore(), async (operation, call, [first]) => {
    const keys = Array.isArray(first)
      ? first.map((each) => (Array.isArray(each) ? each[0] : each))
      : [first]
    calls.push(`${operation} ${keys.join()}`)
    await new Promise((resolve) => setTimeout(resolve, delays.shift() ?? 0))
    return call()
  })
  return { store: withKeyOrder(store), calls }
}

const text = (item: Payload | undefined) => item && String(item)

describe('conforms to the contract', () => {
  const clock = new ManualClock()
  const create = () => withKeyOrder(referenceStore({ clock, async: true }))
  conform(test, create, { wait: (ms) => clock.advance(ms), exact: true })
})

describe('withKeyOrder', () => {
  test('of two sets of a key, the later one is stored', async () => {
    const { store } = overtaking([20, 0])
    await Promise.all([store.set('k', 'first'), store.set('k', 'second')])
    expect(text(await store.get('k'))).toBe('second')
  })

  test('a delete after a set deletes the item', async () => {
    const { store } = overtaking([20, 0])
    await Promise.all([store.set('k', 'first'), store.delete('k')])
    expect(await store.get('k')).toBeUndefined()
  })

  test('a read between two writes reads the item of the first', async () => {
    const { store } = overtaking([20, 10, 0])
    const reads = [store.set('k', 'first'), store.get('k'), store.set('k', 'second')]
    expect(text((await Promise.all(reads))[1] as Payload)).toBe('first')
  })

  test('reads of a key, and calls for different keys, run side by side', async () => {
    const { store, calls } = overtaking([])
    const all = [store.get('k'), store.get('k'), store.set('a', '1'), store.set('b', '2')]
    expect(calls).toHaveLength(4)
    await Promise.all(all)
  })

  test('of a call for several keys, only those with calls in flight wait', async () => {
    const { store, calls } = overtaking([20])
    const writing = store.set('a', 'new')
    const both = store.setMany([
      ['a', 'newer'],
      ['b', 'b'],
    ])
    expect(calls).toEqual(['set a', 'setMany b'])
    await Promise.all([writing, both])
    const reads = Promise.all([store.set('a', 'newest'), store.getMany(['a', 'b', 'a'])])
    expect(calls.at(-1)).toBe('getMany b')
    expect((await reads)[1].map(text)).toEqual(['newest', 'b', 'newest'])
  })

  test('a call that fails does not stop those behind it, and nothing is left in memory', async () => {
    const failing = wrapStore(referenceStore(), async (operation, call) => {
      if (operation === 'set') throw new Error('unreachable')
      return call()
    })
    const store = withKeyOrder(failing)
    const setting = Promise.resolve(store.set('k', 'v')).catch((error) => error.message)
    expect(await Promise.all([setting, store.get('k')])).toEqual(['unreachable', undefined])
  })

  test('of a call for several keys, a key fails only with its own request, and none is sent after the failure', async () => {
    let sent = 0
    const failing = wrapStore(referenceStore(), async (operation, call, args) => {
      sent++
      await new Promise((resolve) => setTimeout(resolve, operation === 'set' ? 20 : 1))
      if (operation === 'getMany' && args[0]?.toString() === 'b') throw new Error('unreachable')
      return call()
    })
    const store = withKeyOrder(failing)
    const setting = store.set('a', 'value')
    const failure = await Promise.resolve(store.getMany(['a', 'b'])).catch((error) => error)
    expect(failure).toBeInstanceOf(BatchError)
    expect(failure.outcomes.map(({ status }: { status: string }) => status)).toEqual([
      'fulfilled',
      'rejected',
    ])
    expect(text(failure.outcomes[0].value)).toBe('value')
    const before = sent
    await setting
    expect(sent).toBe(before)
  })
})
