import { setTimeout as sleep } from 'node:timers/promises'
import { freshMs } from '../../contestants/stampede/staleness.mjs'
import { stampedeColumns } from '../reporting/columns.mjs'
import { median, rounded } from '../reporting/rows.mjs'
import { table } from '../reporting/table.mjs'
import { progress } from '../running/rounds.mjs'
import { startRedis } from '../servers/redis-server.mjs'
import { plainKey, StampedeContestant } from './stampede-contestant.mjs'

const processes = 4
const calls = 250
const loadMs = 200
const subject = 'stowage'
const scenarios = [
  // The waiting calls may notice the end of the load later by a tenth, and a quarter of that.
  { id: 'cold', method: 'remember', maxP99Ms: 1.3 * loadMs },
  // The baseline of `stale`: a plain hit of a value of the same size.
  { id: 'get', method: 'get' },
  // No call waits for the load.
  { id: 'stale', method: 'rememberStale', maxMsAboveGet: 2 },
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
    const targets = targetsOf(rows, results)
    return { rounds, rows, sections: [table(rows, stampedeColumns)], targets }
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
    const result = await measureRound(supported, round)
    if (round > 0) results.push(result)
  }
  return results
}

/** The contestants take turns, because each of them uses all CPUs. */
async function measureRound(supported, round) {
  const results = []
  for (const { id, method } of inOrderOf(round)) {
    if (id === 'stale') await sleep(1.5 * freshMs)
    for (const [contestant, methods] of supported) {
      if (!methods.includes(method)) continue
      const key = id === 'get' ? plainKey : `key ${round}`
      const figures = await contestant.call({ method, key, calls, loadMs })
      results.push({ id, contestant: contestant.name, ...figures })
    }
  }
  return results
}

/** `get` and `stale` are measured in changing order, because each of them optimises code that the other uses. */
function inOrderOf(round) {
  const [cold, get, stale] = scenarios
  return round % 2 === 0 ? [cold, get, stale] : [cold, stale, get]
}

/** The medians of the rounds, and the range of the loads. */
function rowOf(group, results, id, contestant) {
  const own = resultsOf(results, id, contestant)
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

function resultsOf(results, id, contestant) {
  return results.flat().filter((each) => each.id === id && each.contestant === contestant)
}

function targetsOf(rows, results) {
  return scenarios.flatMap(({ id, maxP99Ms, maxMsAboveGet }) => {
    if (id === 'get') return []
    const { loads, minLoads, maxLoads, p99Ms } = rows.find(
      (row) => row.id === id && row.contestant === subject,
    )
    const oneLoad = { description: `${loads} loads, exactly 1`, reached: minLoads * maxLoads === 1 }
    const p99 =
      maxMsAboveGet === undefined
        ? { description: `p99 ${p99Ms} ms, at most ${maxP99Ms}`, reached: p99Ms <= maxP99Ms }
        : aboveGet(results, id, maxMsAboveGet)
    return [oneLoad, p99].map((target) => ({ id, ...target }))
  })
}

/** Compares with the `get`s of the same round: the median of the differences. */
function aboveGet(results, id, max) {
  const gets = resultsOf(results, 'get', subject)
  const difference = rounded(
    median(resultsOf(results, id, subject).map(({ p99Ms }, round) => p99Ms - gets[round].p99Ms)),
  )
  const description = `p99 ${difference} ms above that of get, at most ${max}`
  return { description, reached: difference <= max }
}
