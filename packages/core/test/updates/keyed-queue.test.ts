import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { replaceSeen } from '../../src/updates/conditional-write.ts'
import { KeyedQueue } from '../../src/updates/keyed-queue.ts'
import { gate, settle } from '../remember/two-processes.ts'

const at = { operation: 'update', store: 'reference', key: 'k' }

describe('the tasks of a key', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => void vi.useRealTimers())

  test('run one after another, and leave no timer', async () => {
    const queue = new KeyedQueue()
    const begun: number[] = []
    const gates = [0, 1, 2].map(() => gate())
    const runs = gates.map(({ opened }, index) =>
      queue.run('k', at, async () => {
        begun.push(index)
        await opened
      }),
    )
    expect(begun).toEqual([0])
    gates[0]?.open()
    await settle()
    expect(begun).toEqual([0, 1])
    const last = queue.run('k', at, async () => void begun.push(3))
    await settle()
    expect(begun).toEqual([0, 1])
    for (const { open } of gates) open()
    await Promise.all([...runs, last])
    expect(begun).toEqual([0, 1, 2, 3])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('begin at once when none is left, and those of other keys at any time', async () => {
    const queue = new KeyedQueue()
    await queue.run('k', at, async () => {})
    const hanging = gate()
    const task = vi.fn(() => hanging.opened)
    const runs = [queue.run('k', at, task), queue.run('other', at, task)]
    expect(task).toHaveBeenCalledTimes(2)
    hanging.open()
    await Promise.all(runs)
  })

  test('also run if the one before has failed', async () => {
    const queue = new KeyedQueue()
    const failing = queue.run('k', at, () => Promise.reject(new Error('failed')))
    const next = queue.run('k', at, async () => 'next')
    await expect(failing).rejects.toThrow('failed')
    expect(await next).toBe('next')
  })
})

test('replaceSeen adds without an item, and compares with it otherwise', async () => {
  const calls: unknown[] = []
  const note =
    (name: string, isDone: boolean) =>
    (...args: unknown[]) => {
      calls.push([name, ...args])
      return isDone
    }
  const store = { add: note('add', true), compareAndSet: note('compareAndSet', false) }
  expect(await replaceSeen(store, 'k', undefined, 'next', 5)).toBe(true)
  expect(await replaceSeen(store, 'k', 'seen', 'next', 5)).toBe(false)
  expect(calls).toEqual([
    ['add', 'k', 'next', 5],
    ['compareAndSet', 'k', 'seen', 'next', 5],
  ])
})
