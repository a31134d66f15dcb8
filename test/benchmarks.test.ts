import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { groupNames } from '../benchmarks/lib/groups.mjs'
import { slowerCells } from '../benchmarks/lib/reporting/comparison.mjs'
import { benchmarkDocuments } from '../benchmarks/lib/reporting/documents.mjs'
import { groupTexts } from '../benchmarks/lib/reporting/group-texts.mjs'
import { peerVersions, storedResults } from '../benchmarks/lib/reporting/results.mjs'
import { resultsPage } from '../benchmarks/lib/reporting/results-page.mjs'
import { sideBySidePage } from '../benchmarks/lib/reporting/side-by-side-page.mjs'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const results = storedResults()

describe('the stored results of the benchmarks', () => {
  test.each(Object.entries(benchmarkDocuments()))(
    '%s agrees with them: node scripts/write-benchmarks.mjs',
    (path, text) => expect(read(path)).toBe(text),
  )

  test('every group has results and a text on the pages', () => {
    expect([...results.keys()].sort()).toEqual(groupNames())
    expect(Object.keys(groupTexts).sort()).toEqual(groupNames())
  })

  test('each states its date, machine and versions', () => {
    for (const { date, machine, versions, rounds } of results.values()) {
      expect(date).toMatch(/^20\d\d-\d\d-\d\d$/)
      expect(machine).toMatchObject({ cpu: expect.any(String), cpus: expect.any(Number) })
      expect(Object.keys(versions)).toEqual(expect.arrayContaining(['Node', 'Redis', 'ioredis']))
      expect(rounds).toBeGreaterThan(0)
    }
  })
})

test('the versions of the other libraries are fixed', () => {
  for (const [name, version] of Object.entries(peerVersions())) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/)
  }
})

describe('the pages of the results', () => {
  const rowOf = (contestant: string, ratio: number) => {
    const ratioToRaw = { median: ratio, min: ratio, max: ratio }
    return { group: 'redis', id: 'get x1', contestant, opsPerSecond: 1000 * ratio, ratioToRaw }
  }
  const rows = [rowOf('raw', 1), rowOf('minimal', 9), rowOf('keyv', 0.7), rowOf('stowage', 0.6)]

  test('name the fastest contestant that an application could use, where Stowage is slower', () => {
    expect(slowerCells(rows)).toEqual([{ id: 'get x1', own: rows[3], other: rows[0] }])
    expect(slowerCells([...rows.slice(0, 3), rowOf('stowage', 1.1)])).toEqual([])
  })

  test('list these workloads, the missed targets, and a machine that differs', () => {
    const machine = { cpu: 'A', cpus: 4, memoryGiB: 8, system: 'Linux 6' }
    const versions = { Node: '20.0.0', Redis: '7.0.0', ioredis: '6.0.0' }
    const targets = [
      { id: 'get x1', description: 'missed one', reached: false },
      { id: 'get x1', description: 'reached one', reached: true },
    ]
    const redis = { group: 'redis', date: '2026-01-02', machine, versions, targets, rows }
    const near = { ...redis, group: 'near', date: '2026-01-01', machine: { ...machine, cpu: 'B' } }
    const run = { rounds: 3, quick: true, load: 0.5, pinned: false }
    const all = new Map([redis, near].map((each) => [each.group, { ...run, ...each }]))
    const redisLink = '[Redis](../benchmarks/results.md#redis)'
    const summary = sideBySidePage(all)
    expect(summary).toContain(`| ${redisLink} | get x1 | **0.60** | raw 1.00 |`)
    expect(summary).toContain(`| ${redisLink} | ioredis with JSON | 0.60 to 0.60 | 0 of 1 |`)
    const page = resultsPage(all)
    expect(page).toContain(
      '1 of our 2 targets for this group are reached. Missed:\n\n- get x1: missed one',
    )
    expect(page).toContain('2026-01-01, 4 CPUs (B)')
    expect(page).toContain('Processes were not pinned to CPUs.')
    expect(page).not.toContain('reached one')
  })
})
