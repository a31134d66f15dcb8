import { describe, expect, test } from 'vitest'
import {
  ActiveLoads,
  currentLoadOf,
  runAsLoad,
  runForFlight,
} from '../../src/loading/current-load.ts'
import { Flight } from '../../src/loading/single-flight.ts'
import { expectCollected } from '../collected.ts'
import { gate, settle } from '../remember/two-processes.ts'

const loadOf = (key: string) => ({ flight: new Flight(key), bypassed: [] })

describe('the load that makes a call', () => {
  test('is known while its function runs, also in what it awaits', async () => {
    const load = loadOf('k')
    const seen = await runAsLoad(load, async () => {
      const before = currentLoadOf()
      await settle()
      return [before, currentLoadOf()]
    })
    expect(seen).toEqual([load, load])
    expect(currentLoadOf()).toBeUndefined()
  })

  test('is not that of another function', async () => {
    const first = gate()
    const [a, b] = [loadOf('a'), loadOf('b')]
    const running = runAsLoad(a, async () => {
      await first.opened
      return currentLoadOf()
    })
    expect(currentLoadOf()).toBeUndefined()
    expect(await runAsLoad(b, currentLoadOf)).toBe(b)
    // The end of one load does not end the others.
    first.open()
    expect(await running).toBe(a)
  })

  test('is forgotten when it has ended, also in failure', async () => {
    await expect(runAsLoad(loadOf('k'), () => Promise.reject('down'))).rejects.toBe('down')
    const fail = () => {
      throw new Error('at once')
    }
    await expect(runAsLoad(loadOf('k'), fail)).rejects.toThrow('at once')
    expect(currentLoadOf()).toBeUndefined()
  })

  test('remembers which flights the load around it has bypassed', async () => {
    const [flight, bypassed] = [new Flight('k'), new Flight('other')]
    expect(await runForFlight(flight, currentLoadOf)).toEqual({ flight, bypassed: [] })
    const inner = runAsLoad({ flight: new Flight('outer'), bypassed: [bypassed] }, () =>
      runForFlight(flight, currentLoadOf),
    )
    expect((await inner)?.bypassed).toEqual([bypassed])
  })
})

describe('close()', () => {
  /** A load that notes how it is closed. */
  function setUpLoad() {
    const ended = gate()
    const calls: unknown[] = []
    const load = {
      abort: (reason: unknown) => calls.push(['abort', reason]),
      endClaim: () => {
        calls.push('endClaim')
        return ended.opened
      },
    }
    return { load, calls, ended }
  }

  /** Whether close() has ended. */
  function closed(loads: ActiveLoads) {
    const state = { isClosed: false }
    void loads.close('closed').then(() => {
      state.isClosed = true
    })
    return state
  }

  test('aborts the loads, and waits for the ends of their claims', async () => {
    const loads = new ActiveLoads()
    const [one, two, removed] = [setUpLoad(), setUpLoad(), setUpLoad()]
    for (const { load } of [one, two, removed]) loads.add(load)
    loads.remove(removed.load)
    const state = closed(loads)
    expect([one.calls, two.calls, removed.calls]).toEqual([
      [['abort', 'closed'], 'endClaim'],
      [['abort', 'closed'], 'endClaim'],
      [],
    ])
    one.ended.fail('down')
    await settle()
    expect(state.isClosed).toBe(false)
    two.ended.open()
    await settle()
    expect(state.isClosed).toBe(true)
  })

  test('waits for refreshes in the background, and not for those that have ended', async () => {
    const loads = new ActiveLoads()
    const [running, ended, failed] = [gate(), gate(), gate()]
    for (const { opened } of [running, ended, failed]) loads.trackBackground(opened)
    ended.open()
    failed.fail('down')
    const state = closed(loads)
    await settle()
    expect(state.isClosed).toBe(false)
    running.open()
    await settle()
    expect(state.isClosed).toBe(true)
  })

  test('holds no refresh in memory that has ended', async () => {
    const loads = new ActiveLoads()
    const begin = (work: Promise<void>) => {
      loads.trackBackground(work)
      return new WeakRef(work)
    }
    const references = [begin(Promise.resolve()), begin(Promise.reject(new Error('down')))]
    await settle()
    for (const reference of references) await expectCollected(reference)
    await loads.close('closed')
  })
})
