import type { MemcachedOptions } from '@stowage/memcached'
import { describe, expect, test } from 'vitest'
import { useOneServer } from './one-server.ts'

const server = useOneServer()

/** A store that has connected: before, every call waits for the connection. */
async function createStore(options: MemcachedOptions) {
  const store = server.createStore(options)
  await store.clear()
  return store
}

describe.each(['binary', 'meta'] as const)('%s', (protocol) => {
  test('a call of several keys that waits for one of them keeps its place for the others', async () => {
    const store = await createStore({ protocol })
    await store.set('idle', 'old')
    // An increment may take several requests.
    const set = await Promise.all([
      store.increment('busy', 1),
      store.getMany(['busy', 'idle']),
      store.setMany([
        ['busy', '5'],
        ['idle', 'first'],
      ]),
      store.get('idle'),
      store.set('idle', 'second'),
    ])
    expect(set[1].map(String)).toEqual(['1', 'old'])
    expect(String(set[3])).toBe('first')
    expect(String(await store.get('idle'))).toBe('second')

    await Promise.all([
      store.increment('busy', 1),
      store.deleteMany(['busy', 'idle']),
      store.set('idle', 'third'),
    ])
    expect(String(await store.get('idle'))).toBe('third')
  })

  test('a clear deletes what was stored before it, and nothing else', async () => {
    const store = await createStore({ protocol })
    for (const isBusy of [false, true]) {
      await store.set('deleted', 'old')
      const [, , , read] = await Promise.all([
        isBusy ? store.increment('busy', 1) : undefined,
        store.set('kept', 'first'),
        store.clear(),
        store.get('deleted'),
        store.set('kept', 'second'),
      ])
      expect(read).toBeUndefined()
      expect(String(await store.get('kept'))).toBe('second')
    }
  })
})
