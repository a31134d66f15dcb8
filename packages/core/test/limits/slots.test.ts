import { Cache } from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'

afterEach(() => void vi.restoreAllMocks())

/** Where a slot is tried first, of 0 to 1. */
const startAt = (share: number) => vi.spyOn(Math, 'random').mockReturnValue(share)
const slotKey = (slot: number) => `~limit:x:c:${slot}`

function setUp() {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const calls: [operation: StoreOperation, key: unknown][] = []
  const reads: unknown[] = []
  const hook: { afterRead?: () => void } = {}
  const store = wrapStore(backend, (operation, call, args) => {
    calls.push([operation, args[0]])
    const result = call()
    if (operation !== 'getMany') return result
    reads.push(args[1])
    hook.afterRead?.()
    return result
  })
  return { cache: new Cache(store, { clock }), backend, calls, reads, hook }
}

test('begins with any slot, and reads the others strongly before it tries those that are free', async () => {
  const { cache, backend, calls, reads } = setUp()
  const limit = cache.concurrency('x', { limit: 4 })
  for (const slot of [2, 3]) await backend.add(slotKey(slot), 'taken', 60_000)
  startAt(0.5)
  await limit.run(() => {})
  expect(calls.slice(0, 3)).toEqual([
    ['add', slotKey(2)],
    ['getMany', [2, 3, 0, 1].map(slotKey)],
    ['add', slotKey(0)],
  ])
  expect(reads).toEqual([{ consistency: 'strong' }])
})

test('takes another slot if one is taken meanwhile', async () => {
  const { cache, backend, hook } = setUp()
  const limit = cache.concurrency('x', { limit: 3 })
  await backend.add(slotKey(0), 'taken', 60_000)
  startAt(0)
  hook.afterRead = () => void backend.add(slotKey(1), 'taken', 60_000)
  expect(await limit.run(() => 'done')).toBe('done')
})

test('a call that waits only reads until a slot is free', async () => {
  const { cache, calls, hook } = setUp()
  const limit = cache.concurrency('x', { limit: 2 })
  startAt(0)
  const ended = gate()
  const running = [limit.run(() => ended.opened), limit.run(() => ended.opened)]
  await settle()
  calls.length = 0
  const polled = gate()
  hook.afterRead = () => void (calls.length >= 3 && polled.open())
  const waiting = limit.run(() => 'done', { wait: '1h' })
  await polled.opened
  expect(calls.map(([operation]) => operation)).toEqual(['add', 'getMany', 'getMany'])
  ended.open()
  await Promise.all(running)
  expect(await waiting).toBe('done')
})
