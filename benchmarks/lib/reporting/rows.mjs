/**
 * One row per workload and contestant, with the medians of the rounds. The row has no figures if the contestant does
 * not support the workload.
 */
export function rowsOf(group, rounds, options) {
  const names = [...new Set(rounds[0].map(({ contestant }) => contestant))]
  return group
    .workloads(options)
    .flatMap((workload) => names.map((contestant) => rowOf(group, rounds, workload, contestant)))
}

function rowOf(group, rounds, workload, contestant) {
  const { id, name, valueBytes, inFlight } = workload
  const row = { group: group.name, id, workload: name, valueBytes, inFlight, contestant }
  const own = rounds.map((round) => figuresOf(round, id, contestant))
  if (own.includes(undefined)) return row
  const medianOf = (field) => rounded(median(own.map((figures) => figures[field])))
  const ratioTo = (baseline, field) => {
    const others = rounds.map((round) => figuresOf(round, id, baseline))
    // Within one round, because load on the machine slows down both.
    return spread(own.map((figures, i) => figures[field] / others[i][field]))
  }
  // A round with too few calls has no percentiles.
  const timed = own.every(({ p99Micros }) => p99Micros !== null)
  return {
    ...row,
    opsPerSecond: medianOf('opsPerSecond'),
    ratioToRaw: ratioTo('raw', 'opsPerSecond'),
    ...(group.comparedToRawJson?.includes(contestant) && {
      ratioToRawJson: ratioTo('raw-json', 'opsPerSecond'),
    }),
    ...(timed && { p50Micros: medianOf('p50Micros'), p99Micros: medianOf('p99Micros') }),
    ...(timed && { p50ToRaw: ratioTo('raw', 'p50Micros') }),
    ...(timed && { p99ToRaw: ratioTo('raw', 'p99Micros') }),
    cpuMicrosPerOp: medianOf('cpuMicrosPerOp'),
    cpuToRaw: ratioTo('raw', 'cpuMicrosPerOp'),
    ...(own[0].commandsPerOp !== null && { commandsPerOp: medianOf('commandsPerOp') }),
  }
}

/** The figures of a round are the medians of its turns, so that a disturbed turn has no effect. */
function figuresOf(round, id, contestant) {
  const result = round.find((each) => each.workload === id && each.contestant === contestant)
  if (result === undefined) return undefined
  const medianOf = (field) => median(result.turns.map((turn) => turn[field]))
  const { p50Micros, p99Micros, commandsPerOp } = result
  const opsPerSecond = medianOf('opsPerSecond')
  const cpuMicrosPerOp = medianOf('cpuMicrosPerOp')
  return { opsPerSecond, cpuMicrosPerOp, p50Micros, p99Micros, commandsPerOp }
}

function spread(numbers) {
  const limits = { min: rounded(Math.min(...numbers)), max: rounded(Math.max(...numbers)) }
  return { median: rounded(median(numbers)), ...limits }
}

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Four significant digits: further ones are noise. */
export function rounded(number) {
  return Number(number.toPrecision(4))
}
