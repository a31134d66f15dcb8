import { evictionCells } from '../reporting/columns.mjs'
import { aligned } from '../reporting/table.mjs'
import { traces } from './traces.mjs'

const nanoseconds = 1_000

/** Reads every trace through every contestant. A miss is followed by a `set`. */
export async function runTraces({ contestants, peers }, { quick, peers: withPeers }) {
  const policies = Object.entries(withPeers ? { ...contestants, ...peers } : contestants)
  const reads = quick ? 300_000 : 1_500_000
  const rows = Object.entries(traces).flatMap(([trace, create]) => {
    const data = create(reads)
    return data.capacities.map((capacity, index) => ({
      trace,
      capacity: ['1 %', '10 %'][index],
      results: policies.map(([name, policy]) => ({ name, ...measure(policy, data, capacity) })),
    }))
  })
  const { titles, lines } = evictionCells(rows)
  return { rounds: 1, rows, sections: [aligned([titles, ...lines], 2).join('\n')], targets: [] }
}

function measure(policy, { keys, sizes }, capacity) {
  const cache = sizes === undefined ? policy(capacity, Infinity) : policy(Infinity, capacity)
  let hits = 0
  const start = process.cpuUsage()
  for (const key of keys) {
    if (cache.get(key) !== undefined) hits++
    else cache.set(key, key + 1, sizes?.[key])
  }
  const { user, system } = process.cpuUsage(start)
  return {
    hitPercent: (hits / keys.length) * 100,
    nsPerRead: ((user + system) * nanoseconds) / keys.length,
  }
}
