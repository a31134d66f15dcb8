const subject = 'stowage'

/** How many targets of the group's workloads Stowage reaches, and a line for each target that it misses. */
export function targetSummary(rows, group, options) {
  const targets = group.workloads(options).flatMap((workload) => {
    const cells = rows.filter(({ id }) => id === workload.id)
    const row = cells.find(({ contestant }) => contestant === subject)
    if (row?.ratioToRaw === undefined) return []
    return targetsOf(workload, row, cells).map((target) => ({ id: workload.id, ...target }))
  })
  if (targets.length === 0) return ''
  const missed = targets.filter(({ reached }) => !reached)
  const lines = missed.map(({ id, description }) => `- missed: ${id}: ${description}`)
  return [`${targets.length - missed.length} of ${targets.length} targets reached`, ...lines].join(
    '\n',
  )
}

function targetsOf({ minRatio, maxP99Ratio, fastest }, row, cells) {
  const { ratioToRaw, p99ToRaw } = row
  const targets = []
  const add = (description, reached) => targets.push({ description, reached })
  const text = (ratio) => ratio.median.toFixed(2)
  if (minRatio) {
    add(`${text(ratioToRaw)} of raw, at least ${minRatio}`, ratioToRaw.median >= minRatio)
  }
  if (maxP99Ratio) {
    add(`p99 ${text(p99ToRaw)} of raw's, at most ${maxP99Ratio}`, p99ToRaw.median <= maxP99Ratio)
  }
  if (fastest) {
    const best = bestOf(cells)
    const description = `${text(ratioToRaw)} of raw, more than ${best.contestant} (${text(best.ratioToRaw)})`
    add(description, ratioToRaw.median > best.ratioToRaw.median)
  }
  return targets
}

/** The fastest of the others, without `raw`. */
function bestOf(cells) {
  return cells
    .filter(({ contestant, ratioToRaw }) => ratioToRaw && !['raw', subject].includes(contestant))
    .reduce((best, each) => (each.ratioToRaw.median > best.ratioToRaw.median ? each : best))
}
