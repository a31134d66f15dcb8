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

  test('gives the same trace for a seed in a process of its own', async () => {
    const { trace } = await runPlan(scenario, planOf(scenario, 7), { isTraced: true })
    const script = `
      import { scenarios } from '@stowage/scenarios'
      import { planOf, runPlan } from '@stowage/testing/simulation'
      const scenario = scenarios[${JSON.stringify(scenario.name)}]
      const { trace } = await runPlan(scenario, planOf(scenario, 7), { isTraced: true })
      console.log(String(trace))`
    const args = ['--input-type=module', '--eval', script]
    const other = execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
    expect(other.trim()).toBe(String(trace).trim())
  })
})
