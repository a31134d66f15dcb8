import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { scenarios } from '@stowage/scenarios'
import { isFullTier } from '@stowage/test-servers'
import { planOf, report, runPlan, simulate } from '@stowage/testing/simulation'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const all = Object.values(scenarios) as (typeof scenarios.facade)[]

describe.each(all)('$name', (scenario) => {
  test('has no finding in a fixed set of seeds', async () => {
    const failure = await simulate(scenario, { seeds: isFullTier ? 1_000 : 100 })
    expect(failure && report(failure)).toBeUndefined()
  })
})

test('every scenario gives the same trace for a seed in another process', async () => {
  const script = `
    import { scenarios } from '@stowage/scenarios'
    import { planOf, runPlan } from '@stowage/testing/simulation'
    const traces = []
    for (const scenario of Object.values(scenarios)) {
      const { trace } = await runPlan(scenario, planOf(scenario, 7), { isTraced: true })
      traces.push([scenario.name, String(trace)])
    }
    console.log(JSON.stringify(traces))`
  const args = ['--input-type=module', '--eval', script]
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 1e9 } as const
  const traces = new Map<string, string>(JSON.parse(execFileSync(process.execPath, args, options)))
  for (const scenario of all) {
    const { trace } = await runPlan(scenario, planOf(scenario, 7), { isTraced: true })
    expect(traces.get(scenario.name), scenario.name).toBe(String(trace))
  }
})
