import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { atTurnEnd } from '@stowage/core/driver'
import { expect, test, vi } from 'vitest'

test('calls are made in order, without anything in between', async () => {
  const events: string[] = []
  const add = (name: string) =>
    atTurnEnd(() => {
      events.push(name)
      process.nextTick(() => events.push(`after ${name}`))
    })
  await new Promise<void>((resolve) => process.nextTick(() => resolve(add('a'))))
  add('b')
  expect(events).toEqual([])
  await nextTurn()
  expect(events).toEqual(['a', 'b', 'after a', 'after b'])
})

test('each call has the asynchronous context of its caller', async () => {
  const context = new AsyncLocalStorage<string>()
  const seen: (string | undefined)[] = []
  for (const name of ['a', 'b', 'c']) {
    context.run(name, () => atTurnEnd(() => seen.push(context.getStore())))
  }
  await nextTurn()
  expect(seen).toEqual(['a', 'b', 'c'])
})

test('what is added at the end of a turn is called at the end of the next one', async () => {
  const events: string[] = []
  atTurnEnd(() => {
    events.push('a')
    atTurnEnd(() => events.push('b'))
  })
  await nextTurn()
  expect(events).toEqual(['a'])
  await nextTurn()
  expect(events).toEqual(['a', 'b'])
})

test('fake timers do not delay the calls', async () => {
  const call = vi.fn()
  vi.useFakeTimers({ toFake: ['setImmediate'] })
  atTurnEnd(call)
  vi.useRealTimers()
  await nextTurn()
  expect(call).toHaveBeenCalledOnce()
})

test('a call that throws prevents no other', async () => {
  const errors: unknown[] = []
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.once('uncaughtException', (error) => errors.push(error))
  try {
    const events: string[] = []
    atTurnEnd(() => {
      throw new Error('of the first')
    })
    atTurnEnd(() => events.push('b'))
    atTurnEnd(() => events.push('c'))
    await nextTurn()
    await nextTurn()
    expect(events).toEqual(['b', 'c'])
    expect(errors).toEqual([new Error('of the first')])
  } finally {
    for (const listener of listeners) process.on('uncaughtException', listener)
  }
})
