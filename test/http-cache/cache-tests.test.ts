import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'

const execute = promisify(execFile)
const program = fileURLToPath(new URL('suite/run-suite.mjs', import.meta.url))

type Outcomes = Record<
  'required' | 'optimal' | 'check',
  Record<'passed' | 'failed' | 'skipped', string[]>
>
let outcomes: Outcomes

/**
 * The suite measures ages in seconds. If the machine stops its process for longer than this and a test fails, it runs again,
 * and a test passes if it passes once: what the cache does wrong fails in each run.
 */
const maxStallMs = 300
const maxRuns = 5

beforeAll(async () => {
  const runs: Outcomes[] = []
  let isStalled = true
  while (isStalled && runs.length < maxRuns) {
    const run = await runSuite()
    runs.push(run.outcomes)
    outcomes = bestOf(runs)
    isStalled = run.stalledMs > maxStallMs && unexpectedFailures().length > 0
  }
}, 900_000)

function unexpectedFailures(): string[] {
  const { required, optimal } = outcomes
  const failed = [required, optimal].flatMap((each) => [...each.failed, ...each.skipped])
  return failed.filter((id) => !exceptions.includes(id) && !optional.includes(id))
}

function bestOf(runs: readonly Outcomes[]): Outcomes {
  const last = runs.at(-1) as Outcomes
  const kinds = Object.entries(last).map(([kind, { failed, skipped }]) => {
    const passed = new Set(runs.flatMap((run) => run[kind as keyof Outcomes].passed))
    const rest = (ids: readonly string[]) => ids.filter((id) => !passed.has(id))
    return [kind, { passed: [...passed], failed: rest(failed), skipped: rest(skipped) }]
  })
  return Object.fromEntries(kinds)
}

async function runSuite(): Promise<{ outcomes: Outcomes; stalledMs: number }> {
  const { stdout } = await execute(process.execPath, ['--no-warnings', program], { maxBuffer: 1e8 })
  return JSON.parse(stdout)
}

describe('http-cache-tests', () => {
  test('required: passes all but what is deliberate or cannot be tested in one process', () => {
    const { passed, failed, skipped } = outcomes.required
    expect([...failed, ...skipped].sort()).toEqual([...exceptions].sort())
    expect(passed.length).toBeGreaterThanOrEqual(140)
  })

  test('optimal: fails only the listed tests', () => {
    expect(unexpectedFailures()).toEqual([])
  })
})

const exceptions = [
  // RFC 9111 section 4.2.1 permits to ignore what is not valid in Age. The tests are older.
  'age-parse-dup-0',
  'age-parse-dup-0-twoline',
  'age-parse-dup-old',
  'age-parse-float',
  'age-parse-negative',
  'age-parse-nonnumeric',
  'age-parse-numeric-parameter',
  'age-parse-parameter',
  'age-parse-prefix-twoline',
  // A response with Set-Cookie is never stored.
  'headers-store-Set-Cookie',
  '304-etag-update-response-Set-Cookie',
  // The origin announces another length than it sends.
  'headers-store-Content-Length',
  '304-etag-update-response-Content-Length',
  // The origin destroys the connection, which is that of the client.
  'stale-close-must-revalidate',
  'stale-close-no-cache',
  'stale-close-proxy-revalidate',
  'stale-close-s-maxage=2',
]

const optional = [
  'conditional-lm-fresh-no-lm',
  'method-POST',
  'other-set-cookie',
  'partial-store-partial-complete',
  'partial-store-partial-reuse-partial',
  'partial-store-partial-reuse-partial-absent',
  'partial-store-partial-reuse-partial-byterange',
  'partial-store-partial-reuse-partial-suffix',
  'vary-normalise-lang-order',
  'vary-normalise-lang-select',
]
