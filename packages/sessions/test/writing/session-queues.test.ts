import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type SessionQueue, SessionQueues } from '../../src/writing/session-queues.ts'

/** Calls that a test ends. */
function setUp() {
  const queues = new SessionQueues()
  const events: string[] = []
  const ends = new Map<string, (error?: Error) => void>()
  const received = new Map<string, SessionQueue>()
  const run = (name: string, key = 'k') =>
    queues.run(key, (queue) => {
      events.push(name)
      received.set(name, queue)
      return new Promise<string>((resolve, reject) => {
        ends.set(name, (error) => (error === undefined ? resolve(name) : reject(error)))
      })
    })
  const queueOf = (name: string) => received.get(name) as SessionQueue
  return {
    queues,
    events,
    run,
    queueOf,
    end: (name: string, error?: Error) => ends.get(name)?.(error),
  }
}

test('the calls for one session run one after another, and the first one at once', async () => {
  const { queues, events, run, end } = setUp()
  const [a, b] = [run('a'), run('b')]
  run('other', 'another key')
  expect(events).toEqual(['a', 'other'])
  end('a')
  expect(await a).toBe('a')
  await turn()
  const c = run('c')
  await turn()
  expect(events).toEqual(['a', 'other', 'b'])
  end('b')
  await b
  await turn()
  const settled = queues.settled('k')
  end('c')
  expect(await c).toBe('c')
  await settled
  expect(events).toEqual(['a', 'other', 'b', 'c'])
  expect(queues.settled('k')).toBeUndefined()
})

test('a call knows what the one before has left, until none is left', async () => {
  const { queues, run, queueOf, end } = setUp()
  const [a, b] = [run('a'), run('b')]
  queueOf('a').last = 'ended'
  end('a')
  await a
  await turn()
  expect(queueOf('b').last).toBe('ended')
  end('b')
  await b
  await queues.settled('k')
  run('c')
  expect(queueOf('c').last).toBeUndefined()
})

test('after a call that has failed, nothing is known', async () => {
  const { queues, run, queueOf, end } = setUp()
  const [a, b] = [run('a'), run('b')]
  queueOf('a').last = 'ended'
  end('a', new Error('no reply'))
  await expect(a).rejects.toThrow('no reply')
  await turn()
  expect(queueOf('b').last).toBeUndefined()
  const settled = queues.settled('k')
  end('b', new Error('no reply'))
  await expect(b).rejects.toThrow('no reply')
  expect(await settled).toBeUndefined()
  expect(queues.settled('k')).toBeUndefined()
})
