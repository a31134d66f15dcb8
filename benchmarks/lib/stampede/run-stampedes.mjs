import { setTimeout as sleep } from 'node:timers/promises'
import { freshMs } from '../../contestants/stampede/staleness.mjs'
import { median, rounded } from '../reporting/rows.mjs'
import { table } from '../reporting/table.mjs'
import { targetLines } from '../reporting/targets.mjs'
import { progress } from '../running/rounds.mjs'
import { startRedis } from '../servers/redis-server.mjs'
import { StampedeContestant } from './stampede-contestant.mjs'

const processes = 4
const calls = 250
const loadMs = 200
const columns = [
  { title: 'workload', cell: ({ id }) => id },
  { title: 'contestant', cell: ({ contestant }) => contestant },
  { title: 'loads', cell: ({ loads }) => loads ?? '-' },
  { title: 'p50 ms', of: 'p50Ms' },
  { title: 'p99 ms', of: 'p99Ms' },
  { title: 'slowest ms', of: 'maxMs' },
  { title: 'commands', of: 'commands' },
]
const scenarios = [
  // The waiting calls may notice the end of the load later by a tenth, and a quarter of that.
  { id: 'cold', method: 'remember', maxP99Ms: 1.3 * loadMs },
  // No call waits for the load.
  { id: 'stale', method: 'rememberStale', maxP99Ms: loadMs / 2 },
]

/** Resolves to the number of rounds, the rows, and the sections of the report. */
export async function runStampedes(group, { quick, peers }) {
  const names = Object.keys({ ...group.contestants, ...(peers && group.peers) })
  const server = await startRedis(names)
  const { countCommands } = server
  const contestants = names.map((contestant) => {
    const job = { group: group.name, contestant, address: server.addressOf(contestant) }
    return new StampedeContestant(job, { processes, countCommands })
  })
  try {
    const results = await measureRounds(group, contestants, quick ? 3 : 5)
    for (const each of contestants) await each.finish()
    const rows = scenarios.flatMap(({ id }) => names.map((name) => rowOf(group, results, id, name)))
    const rounds = results.length
    return { rounds, rows, sections: [table(rows, columns), targetLines(targetsOf(rows))] }
  } finally {
    for (const each of contestants) each.kill()
    await server.stop()
  }
}

/** A first round, which is not measured, connects the clients and optimises the code. */
async function measureRounds(group, contestants, rounds) {
  const methods = await Promise.all(contestants.map((each) => each.started()))
  const supported = new Map(contestants.map((each, index) => [each, methods[index]]))
  const results = []
  for (let round = 0; round <= rounds; round++) {
    progress(`${group.name}: ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}`)
    const result = await measureRound(supported, `key ${round}`)
    if (round > 0) results.push(result)
  }
  return results
}

/** The contestants take turns, because each of them uses all CPUs. */
async function measureRound(supported, key) {
  const results = []
  for (const { id, method } of scenarios) {
    if (id === 'stale') await sleep(1.5 * freshMs)
    for (const [contestant, methods] of supported) {
      if (!methods.includes(method)) continue
      const figures = await contestant.call({ method, key, calls, loadMs })
      results.push({ id, contestant: contestant.name, ...figures })
    }
  }
  return results
}

/** The medians of the rounds, and the range of the loads. */
function rowOf(group, results, id, contestant) {
  const own = results.flat().filter((each) => each.id === id && each.contestant === contestant)
  const row = { group: group.name, id, contestant, processes, calls, loadMs }
  if (own.length === 0) return row
  const medianOf = (field) => rounded(median(own.map((figures) => figures[field])))
  const loads = own.map((figures) => figures.loads)
  const [minLoads, maxLoads] = [Math.min(...loads), Math.max(...loads)]
  return {
    ...row,
    loads: minLoads === maxLoads ? `${minLoads}` : `${minLoads}-${maxLoads}`,
    ...{ minLoads, maxLoads },
    ...{ p50Ms: medianOf('p50Ms'), p99Ms: medianOf('p99Ms'), maxMs: medianOf('maxMs') },
    commands: medianOf('commands'),
  }
}

function targetsOf(rows) {
  return scenarios.flatMap(({ id, maxP99Ms }) => {
    const { loads, minLoads, maxLoads, p99Ms } = rows.find(
      (row) => row.id === id && row.contestant === 'stowage',
    )
    return [
      { id, description: `${loads} loads, exactly 1`, reached: minLoads === 1 && maxLoads === 1 },
      { id, description: `p99 ${p99Ms} ms, at most ${maxP99Ms}`, reached: p99Ms <= maxP99Ms },
    ]
  })
}
