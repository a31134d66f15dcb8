const subject = 'stowage'
/** The same with entries that have a stale window and a tag. */
const tagged = 'stowage-tagged'

/** The targets of the group's workloads: `{ id, description, reached }`. */
export function targetsOfRows(rows, group, options) {
  return group.workloads(options).flatMap((workload) => {
    const cells = rows.filter(({ id }) => id === workload.id)
    const row = cells.find(({ contestant }) => contestant === subject)
    if (row?.ratioToRaw === undefined) return []
    return targetsOf(workload, row, cells).map((target) => ({ id: workload.id, ...target }))
  })
}

/**
 * How many targets Stowage reaches, and a line for each target that it misses. `targets` have the id of their workload,
 * a description of what was measured, and `reached`.
 */
export function targetLines(targets) {
  if (targets.length === 0) return ''
  const missed = targets.filter(({ reached }) => !reached)
  const lines = missed.map(({ id, description }) => `- missed: ${id}: ${description}`)
  return [`${targets.length - missed.length} of ${targets.length} targets reached`, ...lines].join(
    '\n',
  )
}

function targetsOf(workload, row, cells) {
  const { minRatio, maxP50Ratio, maxP99Ratio, maxCpuRatio, maxCommands, fastest } = workload
  const { minTaggedRatio, minPerSecond, minToPeers } = workload
  const { ratioToRaw, p50ToRaw, p99ToRaw, cpuToRaw, commandsPerOp } = row
  const targets = []
  const add = (description, reached) => targets.push({ description, reached })
  const text = (ratio) => ratio.median.toFixed(2)
  if (minRatio) {
    add(`${text(ratioToRaw)} of raw, at least ${minRatio}`, ratioToRaw.median >= minRatio)
  }
  const taggedRatio = cells.find(({ contestant }) => contestant === tagged)?.ratioToRaw
  if (minTaggedRatio && taggedRatio) {
    const ratio = taggedRatio.median / ratioToRaw.median
    const description = `with a tag ${ratio.toFixed(2)} of that without, at least ${minTaggedRatio}`
    add(description, ratio >= minTaggedRatio)
  }
  for (const { contestant, to, min } of workload.minRatios ?? []) {
    const medianOf = (name) => cells.find((cell) => cell.contestant === name)?.ratioToRaw?.median
    const ratio = medianOf(contestant) / medianOf(to)
    if (!Number.isNaN(ratio)) {
      add(`${contestant} ${ratio.toFixed(2)} of ${to}, at least ${min}`, ratio >= min)
    }
  }
  const addMaximum = (name, ratio, limit) => {
    if (limit) add(`${name} ${text(ratio)} of raw's, at most ${limit}`, ratio.median <= limit)
  }
  addMaximum('p50', p50ToRaw, maxP50Ratio)
  addMaximum('p99', p99ToRaw, maxP99Ratio)
  addMaximum('CPU', cpuToRaw, maxCpuRatio)
  if (maxCommands) {
    const description = `${commandsPerOp} commands per operation, at most ${maxCommands}`
    add(description, commandsPerOp <= maxCommands)
  }
  if (minPerSecond) {
    const description = `${row.opsPerSecond} per second, at least ${minPerSecond}`
    add(description, row.opsPerSecond >= minPerSecond)
  }
  const best = minToPeers && bestOf(cells)
  if (best) {
    const factor = ratioToRaw.median / best.ratioToRaw.median
    add(
      `${factor.toFixed(1)} times ${best.contestant}, at least ${minToPeers}`,
      factor >= minToPeers,
    )
  }
  if (fastest) {
    const best = bestOf(cells)
    const description = `${text(ratioToRaw)} of raw, more than ${best.contestant} (${text(best.ratioToRaw)})`
    add(description, ratioToRaw.median > best.ratioToRaw.median)
  }
  return targets
}

/** The fastest of the others that an application could use instead. */
function bestOf(cells) {
  const isOther = (name) =>
    name !== 'minimal' && !name.startsWith('raw') && !name.startsWith(subject)
  return cells
    .filter(({ contestant, ratioToRaw }) => ratioToRaw && isOther(contestant))
    .reduce(
      (best, each) => (best && best.ratioToRaw.median >= each.ratioToRaw.median ? best : each),
      undefined,
    )
}
