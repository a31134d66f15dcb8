import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SessionTurns, type Turn } from '../../src/writing/session-turns.ts'

/** Calls that a test ends. */
function setUp() {
  const turns = new SessionTurns()
  const events: string[] = []
  const ends = new Map<string, (error?: Error) => void>()
  const received = new Map<string, Turn>()
  const run = (name: string, key = 'k') =>
    turns.run(key, (turn) => {
      events.push(name)
      received.set(name, turn)
      return new Promise<string>((resolve, reject) => {
        ends.set(name, (error) => (error === undefined ? resolve(name) : reject(error)))
      })
    })
  const turnOf = (name: string) => received.get(name) as Turn
  return {
    turns,
    events,
    run,
    turnOf,
    end: (name: string, error?: Error) => ends.get(name)?.(error),
  }
}

test('the calls for one session run one after another, and the first one at once', async () => {
  const { turns, events, run, end } = setUp()
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
  const settled = turns.settled('k')
  end('c')
  expect(await c).toBe('c')
  await settled
  expect(events).toEqual(['a', 'other', 'b', 'c'])
  expect(turns.settled('k')).toBeUndefined()
})

test('a call knows what the one before has left, until none is left', async () => {
  const { turns, run, turnOf, end } = setUp()
  const [a, b] = [run('a'), run('b')]
  turnOf('a').last = 'ended'
  end('a')
  await a
  await turn()
  expect(turnOf('b').last).toBe('ended')
  end('b')
  await b
  await turns.settled('k')
  run('c')
  expect(turnOf('c').last).toBeUndefined()
})

test('after a call that has failed, nothing is known', async () => {
  const { turns, run, turnOf, end } = setUp()
  const [a, b] = [run('a'), run('b')]
  turnOf('a').last = 'ended'
  end('a', new Error('no reply'))
  await expect(a).rejects.toThrow('no reply')
  await turn()
  expect(turnOf('b').last).toBeUndefined()
  const settled = turns.settled('k')
  end('b', new Error('no reply'))
  await expect(b).rejects.toThrow('no reply')
  expect(await settled).toBeUndefined()
  expect(turns.settled('k')).toBeUndefined()
})
