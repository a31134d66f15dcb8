import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { planOf, report, runPlan, scenarios, simulate } from '@stowage/testing/simulation'
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
