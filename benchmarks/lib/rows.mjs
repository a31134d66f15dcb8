/** The results of all rounds → one row per workload and contestant, with medians and ratios. */
export function rowsOf(group, rounds) {
  const kinds = new Map(rounds[0].map((result) => [idOf(result), result]))
  const names = Object.keys({ ...group.contestants, ...group.peers })
  const order = group.workloads({ quick: false }).map(workloadOf)
  const rank = (row) => order.indexOf(workloadOf(row)) * 1_000 + names.indexOf(row.contestant)
  return [...kinds.values()]
    .map((result) => rowOf(group, rounds, result))
    .sort((a, b) => rank(a) - rank(b))
}

function rowOf(group, rounds, { workload, contestant, valueBytes, inFlight }) {
  const id = idOf({ workload, contestant, inFlight })
  const results = rounds.map((results) => results.find((result) => idOf(result) === id))
  const medianOf = (field) => median(results.map((result) => result[field]))
  const ratioTo = (baseline) =>
    spread(rounds.map((round, i) => ratio(results[i], round, { workload, inFlight, baseline })))
  return {
    group: group.name,
    workload,
    contestant,
    valueBytes,
    inFlight,
    opsPerSecond: round(medianOf('opsPerSecond')),
    ratioToRaw: ratioTo('raw'),
    ...(group.comparedToRawJson?.includes(contestant) && { ratioToRawJson: ratioTo('raw-json') }),
    commandsPerOp: results[0].commandsPerOp === null ? null : round(medianOf('commandsPerOp')),
    cpuMicrosPerOp: round(medianOf('cpuMicrosPerOp')),
  }
}

/** Within one round: what slows the machine down slows both down. */
function ratio(result, round, { workload, inFlight, baseline }) {
  const id = idOf({ workload, inFlight, contestant: baseline })
  return result.opsPerSecond / round.find((other) => idOf(other) === id).opsPerSecond
}

function idOf(result) {
  return `${workloadOf(result)} ${result.contestant}`
}

function workloadOf({ workload, name = workload, inFlight }) {
  return `${name} ${inFlight}`
}

function spread(numbers) {
  const limits = { min: round(Math.min(...numbers)), max: round(Math.max(...numbers)) }
  return { median: round(median(numbers)), ...limits }
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Four significant digits: more would be noise. */
function round(number) {
  return Number(number.toPrecision(4))
}
