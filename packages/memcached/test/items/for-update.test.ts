import type { Payload } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sendText } from '../send-text.ts'

const forUpdate = { forUpdate: true } as const
let server: MemcachedServer

beforeAll(async () => {
  server = await startMemcached()
})

afterAll(() => server.stop())

/** How many reads and writes the server has executed. */
async function commands() {
  const stats = await sendText(server.port, 'stats')
  const count = (name: string) => Number(new RegExp(`STAT ${name} (\\d+)`).exec(stats)?.[1])
  return count('cmd_get') + count('cmd_set') + count('delete_hits') + count('delete_misses')
}

describe.each(['binary', 'meta'] as const)('get with forUpdate, protocol %s', (protocol) => {
  const open = () => memcached({ servers: [server.address], protocol, timeout: '5s' })

  test('compareAndSet with the returned payload is one request', async () => {
    const own = open()
    await own.set('k', 'one')
    const before = await commands()
    const seen = (await own.get('k', forUpdate)) as Payload
    expect(await own.compareAndSet('k', seen, 'two', 60_000)).toBe(true)
    expect((await commands()) - before).toBe(2)
    expect(String(await own.get('k'))).toBe('two')
    await own.close()
  })

  test('so is a delete', async () => {
    const own = open()
    await own.set('k', 'one')
    const before = await commands()
    const seen = (await own.get('k', forUpdate)) as Payload
    expect(await own.compareAndSet('k', seen, undefined)).toBe(true)
    expect((await commands()) - before).toBe(2)
    expect(await own.get('k')).toBeUndefined()
    await own.close()
  })

  test('is refused after a change, a delete, and a delete followed by an add', async () => {
    const [own, other] = [open(), open()]
    const changes: [string, () => Promise<unknown>][] = [
      ['set', async () => other.set('k', 'other')],
      ['delete', async () => other.delete('k')],
      ['delete and add', async () => [await other.delete('k'), await other.add('k', 'other')]],
    ]
    for (const [name, change] of changes) {
      await own.set('k', 'one')
      const seen = (await own.get('k', forUpdate)) as Payload
      await change()
      const found = await other.get('k')
      expect(await own.compareAndSet('k', seen, 'two'), name).toBe(false)
      expect(String(await other.get('k')), name).toBe(String(found))
    }
    await own.close()
    await other.close()
  })

  test('the same bytes that were stored again are replaced', async () => {
    const [own, other] = [open(), open()]
    await own.set('k', 'one')
    const seen = (await own.get('k', forUpdate)) as Payload
    await other.set('k', 'one')
    expect(await own.compareAndSet('k', seen, 'two')).toBe(true)
    expect(String(await other.get('k'))).toBe('two')
    await own.close()
    await other.close()
  })

  test('the payload of one key does not replace another key with other bytes', async () => {
    const own = open()
    await own.set('k', 'one')
    await own.set('other', 'not one')
    const seen = (await own.get('k', forUpdate)) as Payload
    expect(await own.compareAndSet('other', seen, 'two')).toBe(false)
    expect(await own.compareAndSet('k', seen, 'two')).toBe(true)
    await own.close()
  })
})

test('an id of a server is not used after its restart', async () => {
  const node = await startMemcached()
  const store = memcached({ servers: [node.address], timeout: '5s' })
  await store.set('k', 'one')
  const seen = (await store.get('k', forUpdate)) as Payload
  await node.stop()
  const restarted = await node.restart()
  // The first item of the new server has the id that the first one of the old server had.
  const until = Date.now() + 20_000
  const isStored = async () => {
    try {
      await store.set('k', 'new')
      return true
    } catch {
      return false
    }
  }
  while (!(await isStored()) && Date.now() < until);
  expect(await store.compareAndSet('k', seen, 'two')).toBe(false)
  expect(String(await store.get('k'))).toBe('new')
  await store.close()
  await restarted.stop()
})
