const subject = 'stowage'

/** How many targets of the group's workloads Stowage reaches, and a line for each target that it misses. */
export function targetSummary(rows, group, options) {
  const targets = group.workloads(options).flatMap((workload) => {
    const cells = rows.filter(({ id }) => id === workload.id)
    const row = cells.find(({ contestant }) => contestant === subject)
    if (row?.ratioToRaw === undefined) return []
    return targetsOf(workload, row, cells).map((target) => ({ id: workload.id, ...target }))
  })
  return targetLines(targets)
}

/** `targets` have the id of their workload, a description of what was measured, and `reached`. */
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
  const { ratioToRaw, p50ToRaw, p99ToRaw, cpuToRaw, commandsPerOp } = row
  const targets = []
  const add = (description, reached) => targets.push({ description, reached })
  const text = (ratio) => ratio.median.toFixed(2)
  if (minRatio) {
    add(`${text(ratioToRaw)} of raw, at least ${minRatio}`, ratioToRaw.median >= minRatio)
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
  if (fastest) {
    const best = bestOf(cells)
    const description = `${text(ratioToRaw)} of raw, more than ${best.contestant} (${text(best.ratioToRaw)})`
    add(description, ratioToRaw.median > best.ratioToRaw.median)
  }
  return targets
}

/** The fastest of the others that an application could use instead. */
function bestOf(cells) {
  const excluded = ['raw', 'minimal', subject]
  return cells
    .filter(({ contestant, ratioToRaw }) => ratioToRaw && !excluded.includes(contestant))
    .reduce((best, each) => (each.ratioToRaw.median > best.ratioToRaw.median ? each : best))
}
