import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { carryCallers } from '@stowage/core/tools'
import { describe, expect, test, vi } from 'vitest'
import { InFlight } from '../../src/calls/in-flight.ts'
import type { Batch } from '../../src/wrappers/batching/batches.ts'
import { BatchQueue, TurnEnd } from '../../src/wrappers/batching/with-batching.ts'

const nextTick = () => new Promise<void>((resolve) => process.nextTick(resolve))
const names = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `k${from + index}`)

/** A queue whose batches a test sees, with a turn that ends when the test says so. */
function setUp({ overlap = false } = {}) {
  const sent: string[] = []
  const settled: unknown[] = []
  const state: { reply: () => unknown } = { reply: () => Promise.resolve() }
  class KeyBatch implements Batch {
    callers: Batch['callers'] = undefined
    readonly keys = new Set<string>()
    get size() {
      return this.keys.size
    }
    has = (key: string) => this.keys.has(key)
    send = () => {
      sent.push([...this.keys].join())
      return state.reply()
    }
    settle = (reply: unknown) => settled.push(reply)
  }
  let pending: (() => void)[] = []
  let added = 0
  const turnEnd = {
    add: (call: () => void) => {
      added++
      pending.push(call)
    },
  }
  const endTurn = () => {
    const calls = pending
    pending = []
    for (const call of calls) call()
  }
  const [callsInFlight, batchesInFlight] = [new InFlight(), new InFlight()]
  const shared = { overlap, callsInFlight, batchesInFlight, turnEnd: turnEnd as never }
  const queue = new BatchQueue(() => new KeyBatch(), shared)
  const add = (...keys: string[]) => {
    for (const key of keys) queue.batchFor(key).keys.add(key)
  }
  const addScheduled = (...keys: string[]) => {
    add(...keys)
    queue.schedule()
  }
  const inFlight = () => [callsInFlight.count, batchesInFlight.count]
  const all = { queue, add, addScheduled, sent, settled, state, endTurn, inFlight }
  return { ...all, callsInFlight, batchesInFlight, added: () => added }
}

describe('the keys of a queue', () => {
  test('are in one batch without overlap', () => {
    const { queue, add, sent } = setUp()
    expect([queue.isEmpty, queue.size, queue.has('k0')]).toEqual([true, 0, false])
    add(...names(0, 40))
    expect([queue.isEmpty, queue.size, queue.has('k0'), queue.has('x')]).toEqual([
      ...[false, 40, true, false],
    ])
    queue.send()
    queue.send()
    expect(sent).toEqual([names(0, 40).join()])
    expect([queue.isEmpty, queue.size, queue.has('k0')]).toEqual([true, 0, false])
  })

  test('are in two from the seventeenth on, until both are equal', () => {
    const { queue, add, sent } = setUp({ overlap: true })
    add(...names(0, 16))
    const first = queue.batchFor('k0')
    add('k16')
    const second = queue.batchFor('k16')
    expect(second).not.toBe(first)
    expect([first.size, second.size, queue.size]).toEqual([16, 1, 17])
    expect([queue.has('k0'), queue.has('k16'), queue.has('x')]).toEqual([true, true, false])
    expect(queue.batchFor('k0')).toBe(first)
    add(...names(17, 32))
    expect([first.size, second.size]).toEqual([16, 16])
    expect(queue.batchFor('k31')).toBe(second)
    expect(queue.batchFor('x')).toBe(first)
    queue.send()
    queue.send()
    expect(sent).toEqual([names(0, 16).join(), names(16, 32).join()])
    expect(queue.isEmpty).toBe(true)
  })

  test('are in two only if no batch is in flight when the second one would begin', () => {
    const busy = setUp({ overlap: true })
    busy.batchesInFlight.begin()
    busy.add(...names(0, 20))
    expect(busy.queue.batchFor('k0').size).toBe(20)
    const { queue, add, batchesInFlight } = setUp({ overlap: true })
    add(...names(0, 17))
    batchesInFlight.begin()
    add('k17')
    expect(queue.batchFor('k17').size).toBe(2)
  })
})

describe('a scheduled batch', () => {
  test('is sent after the callback in an idle process, and once', async () => {
    const { queue, addScheduled, sent, added } = setUp()
    addScheduled('a')
    addScheduled('b')
    expect(sent).toEqual([])
    await nextTick()
    expect(sent).toEqual(['a,b'])
    addScheduled('c')
    queue.send()
    await nextTick()
    expect([sent, added()]).toEqual([['a,b', 'c'], 0])
  })

  test('is sent at the end of the turn while a call is in flight', async () => {
    const { addScheduled, sent, added, endTurn, callsInFlight, queue } = setUp()
    callsInFlight.begin()
    addScheduled('a')
    addScheduled('b')
    await nextTick()
    expect([sent, added()]).toEqual([[], 1])
    endTurn()
    expect(sent).toEqual(['a,b'])
    callsInFlight.end()
    await nextTurn()
    // All keys were of one callback: the next one need not wait.
    addScheduled('c')
    await nextTick()
    expect([sent, added(), queue.isEmpty]).toEqual([['a,b', 'c'], 1, true])
  })

  test('is sent at the end of the turn after a turn with keys of several callbacks', async () => {
    const { addScheduled, sent, endTurn, callsInFlight, added } = setUp()
    callsInFlight.begin()
    addScheduled('a')
    await nextTick()
    addScheduled('b')
    endTurn()
    callsInFlight.end()
    await nextTurn()
    expect(sent).toEqual(['a,b'])
    addScheduled('c')
    await nextTick()
    expect([sent, added()]).toEqual([['a,b'], 2])
    endTurn()
    expect(sent).toEqual(['a,b', 'c'])
    await nextTurn()
    addScheduled('d')
    await nextTick()
    expect([sent, added()]).toEqual([['a,b', 'c', 'd'], 2])
  })

  test('is followed by the second one at the end of the turn', async () => {
    const { queue, addScheduled, sent, endTurn, added } = setUp({ overlap: true })
    addScheduled(...names(0, 17))
    await nextTick()
    expect([sent, added()]).toEqual([[names(0, 16).join()], 1])
    expect([queue.isEmpty, queue.size, queue.has('k16')]).toEqual([false, 1, true])
    endTurn()
    expect(sent).toEqual([names(0, 16).join(), 'k16'])
    expect(queue.isEmpty).toBe(true)
    addScheduled(...names(0, 17))
    await nextTick()
    queue.send()
    endTurn()
    expect(sent).toHaveLength(4)
  })
})

describe('calls in flight', () => {
  test('are counted until the reply, and batches only with several keys', async () => {
    const { queue, add, inFlight } = setUp()
    add('a')
    queue.send()
    expect(inFlight()).toEqual([1, 0])
    add('b', 'c')
    queue.send()
    expect(inFlight()).toEqual([2, 1])
    await nextTurn()
    expect(inFlight()).toEqual([0, 0])
  })

  test('end with a failure, and with a reply at once', async () => {
    const { queue, add, inFlight, state, settled } = setUp()
    const error = new Error('no reply')
    state.reply = () => {
      throw error
    }
    add('a', 'b')
    queue.send()
    await expect(settled[0]).rejects.toBe(error)
    expect(inFlight()).toEqual([0, 0])
    state.reply = () => 'at once'
    add('a', 'b')
    queue.send()
    expect([inFlight(), settled[1]]).toEqual([[0, 0], 'at once'])
  })

  test('have ended when their callers get the outcome', async () => {
    const { queue, add, inFlight, state, settled } = setUp()
    state.reply = () => Promise.resolve()
    add('a', 'b')
    queue.send()
    await (settled[0] as Promise<void>).then(() => expect(inFlight()).toEqual([0, 0]))
  })

  test('enter a context only if their callers are known', () => {
    const { queue, add } = setUp()
    const runs: unknown[] = []
    const stop = carryCallers({
      current: () => undefined,
      run: (callers, work) => {
        runs.push(callers)
        return work()
      },
    })
    add('a')
    queue.send()
    expect(runs).toEqual([])
    const callers = [{}] as never
    queue.batchFor('b').callers = callers
    queue.send()
    stop()
    expect(runs).toEqual([callers])
  })
})

test('the end of a turn makes all calls at once, each once and in its context', async () => {
  const context = new AsyncLocalStorage<string>()
  const made: string[] = []
  const turnEnd = new TurnEnd()
  const add = (name: string) =>
    context.run(name, () => turnEnd.add(() => made.push(`${name} ${context.getStore()}`)))
  const immediate = vi.spyOn(globalThis, 'setImmediate')
  try {
    for (const name of ['a', 'b', 'c']) add(name)
    expect(immediate).toHaveBeenCalledTimes(1)
  } finally {
    immediate.mockRestore()
  }
  await nextTurn()
  add('d')
  await nextTurn()
  await nextTurn()
  expect(made).toEqual(['a a', 'b b', 'c c', 'd d'])
})
