import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  fc,
  planOf,
  report,
  runPlan,
  type Scenario,
  scenarios,
  simulate,
} from '@stowage/testing/simulation'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const all = Object.values(scenarios) as (typeof scenarios.facade)[]

describe.each(all)('$name', (scenario) => {
  test('has no finding in a fixed set of seeds', async () => {
    const failure = await simulate(scenario, { seeds: 1_000 })
    expect(failure && report(failure)).toBeUndefined()
  })

  test('gives the same trace for a seed in a process of its own', async () => {
    const { trace } = await runPlan(scenario, planOf(scenario, 7), { isTraced: true })
    const script = `
      import { planOf, runPlan, scenarios } from '@stowage/testing/simulation'
      const scenario = scenarios[${JSON.stringify(scenario.name)}]
      const { trace } = await runPlan(scenario, planOf(scenario, 7), { isTraced: true })
      console.log(String(trace))`
    const args = ['--input-type=module', '--eval', script]
    const other = execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
    expect(other.trim()).toBe(String(trace).trim())
  })
})

test('a run restores what it has replaced', async () => {
  const before = [Math.random, Date.now, setTimeout, setImmediate, process.nextTick, Map]
  await runPlan(scenarios.facade, planOf(scenarios.facade, 1))
  expect([Math.random, Date.now, setTimeout, setImmediate, process.nextTick, Map]).toEqual(before)
  expect(performance.now()).not.toBe(performance.now())
})

test('a failure is reported with its trace and the command that replays it', async () => {
  const broken = { ...scenarios.facade, judge: () => 'it is broken.' }
  const failure = await simulate(broken, { seed: 5, seeds: 1 })
  const text = failure === undefined ? '' : report(failure)
  expect(text).toMatch(/^✗ facade, seed 5: it is broken\./)
  expect(text).toContain('npm run simulate -- facade --replay 5')
  expect(failure?.plan.calls.length).toBe(1)
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
  const failure = await simulate(copies, { seeds: 300 })
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
