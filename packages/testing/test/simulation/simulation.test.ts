import { isFullTier } from '@stowage/test-servers'
import {
  facade,
  fc,
  type Plan,
  type ProcessContext,
  planOf,
  report,
  runPlan,
  type Scenario,
  simulate,
} from '@stowage/testing/simulation'
import { describe, expect, test } from 'vitest'

test('a run restores what it has replaced', async () => {
  const before = [Math.random, Date.now, setTimeout, setImmediate, process.nextTick, Map]
  await runPlan(facade, planOf(facade, 1))
  expect([Math.random, Date.now, setTimeout, setImmediate, process.nextTick, Map]).toEqual(before)
  expect(performance.now()).not.toBe(performance.now())
})

test('a failure is reported with its trace and the command that replays it', async () => {
  const broken = { ...facade, judge: () => 'it is broken.' }
  const failure = await simulate(broken, { seed: 5, seeds: 1 })
  const text = failure === undefined ? '' : report(failure)
  expect(text).toMatch(/^✗ facade, seed 5: it is broken\./)
  expect(text).toContain('simulate(/* facade */, { seed: 5, seeds: 1 })')
  expect(failure?.plan.calls.length).toBe(1)
})

describe('a scenario of an application', () => {
  const soldOut = new Error('sold out')
  const shop: Scenario<string> = {
    name: 'shop',
    summary: 'an application whose calls fail with errors of its own',
    traits: fc.constant({}),
    call: fc.constant('buy'),
    faults: [],
    start: ({ Cache, store, clock }) => {
      const cache = new Cache(store, { clock })
      return { run: () => Promise.reject(soldOut), close: () => cache.close() }
    },
    judge: () => undefined,
  }

  test('may expect errors without a code, which are findings otherwise', async () => {
    const failure = await simulate(shop, { seeds: 1 })
    expect(failure?.problem).toMatch(/failed with Error: sold out\. .*isExpectedError/)
    const isExpectedError = (error: unknown) => error === soldOut
    expect(await simulate({ ...shop, isExpectedError }, { seeds: 20 })).toBeUndefined()
    const judge: typeof shop.judge = ({ entries }) => String(entries[0]?.outcome?.status)
    const judged = await simulate({ ...shop, isExpectedError, judge }, { seeds: 1 })
    expect(judged?.problem).toBe('rejected')
  })

  test('is not replayed by a command that does not have it', async () => {
    const failure = await simulate(shop, { seed: 7, seeds: 1, processes: 2, isFaultless: true })
    const text = failure === undefined ? '' : report(failure)
    const call = 'simulate(/* shop */, { seed: 7, seeds: 1, processes: 2, isFaultless: true })'
    expect(text.split('\n').at(-1)).toBe(call)
  })
})

test('the command repeats the options of the run', async () => {
  const broken = { ...facade, judge: () => 'it is broken.' }
  const options = { processes: 2, minCalls: 3, maxCalls: 4, isFaultless: true }
  const failure = await simulate(broken, { seeds: 1, ...options })
  const command =
    'simulate(/* facade */, { seed: 0, seeds: 1, processes: 2, minCalls: 3, maxCalls: 4, isFaultless: true })'
  expect(failure && report(failure)).toContain(command)
})

describe('a run that does not end is reported with the command that replays it', () => {
  // Requests are events: the full tier has those without a request.
  const endless: Record<string, (context: ProcessContext) => Promise<void>> = {
    ...(isFullTier && { 'because events follow one another': ({ clock }) => clock.sleep(1) }),
    'because promise reactions follow one another': async ({ clock }) => void clock.now(),
    'because requests follow one another': async ({ store }) => void (await store.get('key')),
  }

  test.each(Object.keys(endless))('%s', async (name) => {
    const start: typeof facade.start = (context) => ({
      async run() {
        for (;;) await endless[name]?.(context)
      },
      close: async () => {},
    })
    const options = { seeds: 1, shrinkMs: 100, isFaultless: true }
    const failure = await simulate({ ...facade, start }, options)
    const text = failure === undefined ? '' : report(failure)
    expect(text).toMatch(/^✗ facade, seed 0: The run does not end\./)
    expect(text).toContain('simulate(/* facade */, { seed: 0, seeds: 1, isFaultless: true })')
    expect(text.length).toBeLessThan(5_000_000)
  })
})

test('what a process has registered for the end of a run is done once, also if it was killed', async () => {
  const ended: string[] = []
  const start: typeof facade.start = (context) => {
    context.onEnd(() => ended.push(context.name))
    return facade.start(context)
  }
  const killed = { at: 1, kind: 'kill', target: 0, forMs: 0 } as const
  const plan = { ...planOf(facade, 1), faults: [killed], isFaultless: false }
  const { history } = await runPlan({ ...facade, start }, plan)
  expect(history.killed).toEqual(['p1'])
  expect(ended.sort()).toEqual(['p1', 'p2', 'p3'])
})

test('a trace shows what a request found', async () => {
  const call = { op: 'get', key: 'key0', inNamespace: false } as const
  const written = { op: 'set', key: 'key0', value: 7, inNamespace: false } as const
  const plan: Plan<typeof call | typeof written> = {
    seed: 1,
    traits: {},
    clocks: [{ offsetMs: 0, drift: 0 }],
    isFaultless: true,
    calls: [
      { at: 10, process: 0, luck: 0, call: written },
      { at: 20, process: 0, luck: 0, call },
    ],
    faults: [],
  }
  const { trace } = await runPlan(facade, plan as Plan<never>, { isTraced: true })
  expect(String(trace).split('\n').slice(0, 8)).toEqual([
    '     10.0  p1   #1   set key0 value=7',
    '     10.0  p1   #1     → n1 set app:key0',
    '     11.0  n1   #1     set app:key0, from p1',
    '     12.0  p1   #1   ⇒ undefined',
    '     20.0  p1   #2   get key0',
    '     20.0  p1   #2     → n1 get app:key0',
    '     21.0  n1   #2     get app:key0 = 7, from p1',
    '     22.0  p1   #2   ⇒ 7',
  ])
})

type CopyCall = { readonly op: 'write' | 'read' }

/** In-process copies that a bus invalidates: never served while it is disconnected, nor long after a change. */
const copies: Scenario<CopyCall> = {
  name: 'copies',
  summary: 'in-process copies with a bus',
  traits: fc.constant({}),
  call: fc.record({ op: fc.constantFrom('write', 'read', 'read') }),
  gapMs: 20,
  faults: ['partition', 'pause'],
  start({ Cache, store, clock, bus, nextOrder }) {
    const cache = new Cache(store, { clock })
    let copy: number | undefined
    let changes = 0
    const forget = () => {
      changes++
      copy = undefined
    }
    const subscribed = bus?.subscribe(forget)
    const run = async ({ op }: CopyCall): Promise<number | undefined> => {
      await subscribed
      if (op === 'read' && copy !== undefined && bus?.connected) return copy
      const before = changes
      if (op === 'read') {
        const value = await cache.get<number>('key')
        if (changes === before) copy = value
        return value
      }
      const value = nextOrder()
      await cache.set('key', value)
      forget()
      await bus?.publish(['key'])
      return value
    }
    return {
      run,
      close: async () => {
        await bus?.close()
        await cache.close()
      },
    }
  },
  judge({ entries }) {
    const writes = entries.filter(
      ({ call, outcome }) => call.op === 'write' && outcome?.status === 'fulfilled',
    )
    for (const { call, outcome, invokedAt, process } of entries) {
      if (call.op !== 'read' || outcome?.status !== 'fulfilled') continue
      const own = writes.find(
        (write) => write.outcome?.status === 'fulfilled' && write.outcome.value === outcome.value,
      )
      const later = writes.find(
        (write) =>
          own !== undefined && write.invokedAt > own.settledAt && write.settledAt + 50 < invokedAt,
      )
      if (later !== undefined) return `${process} read an outdated copy.`
    }
    return undefined
  },
}

test('a bus invalidates copies in other processes, also after a partition', async () => {
  const failure = await simulate(copies, { seeds: isFullTier ? 300 : 100 })
  expect(failure && report(failure)).toBeUndefined()
  const deaf: typeof copies = {
    ...copies,
    start: (context) => {
      const subscribe = async () => () => {}
      const publish = () => {}
      const bus = { connected: true, subscribe, publish, close: async () => {} }
      return copies.start({ ...context, bus })
    },
  }
  expect((await simulate(deaf, { seeds: 100 }))?.problem).toContain('outdated')
})
