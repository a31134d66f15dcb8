const ours = 'stowage'

/** How much of what the group's workloads ask of us is reached, and what is not. */
export function verdict(rows, group, mode) {
  const targets = group.workloads(mode).flatMap((workload) => {
    const cells = rows.filter(({ id }) => id === workload.id)
    const row = cells.find(({ contestant }) => contestant === ours)
    if (row?.ratioToRaw === undefined) return []
    return targetsOf(workload, row, cells).map((target) => ({ id: workload.id, ...target }))
  })
  if (targets.length === 0) return ''
  const missed = targets.filter(({ reached }) => !reached)
  const lines = missed.map(({ id, what }) => `- missed: ${id}: ${what}`)
  return [`${targets.length - missed.length} of ${targets.length} targets reached`, ...lines].join(
    '\n',
  )
}

function targetsOf({ atLeast, p99AtMost, aheadOfOthers }, row, cells) {
  const { ratioToRaw, p99ToRaw } = row
  const targets = []
  const target = (what, reached) => targets.push({ what, reached })
  const of = (ratio) => ratio.median.toFixed(2)
  if (atLeast) target(`${of(ratioToRaw)} of raw, at least ${atLeast}`, ratioToRaw.median >= atLeast)
  if (p99AtMost) {
    target(`p99 ${of(p99ToRaw)} of raw's, at most ${p99AtMost}`, p99ToRaw.median <= p99AtMost)
  }
  if (aheadOfOthers) {
    const best = bestOf(cells)
    const what = `${of(ratioToRaw)} of raw, more than ${best.contestant} (${of(best.ratioToRaw)})`
    target(what, ratioToRaw.median > best.ratioToRaw.median)
  }
  return targets
}

/** The fastest of the others, `raw` excepted. */
function bestOf(cells) {
  return cells
    .filter(({ contestant, ratioToRaw }) => ratioToRaw && !['raw', ours].includes(contestant))
    .reduce((best, each) => (each.ratioToRaw.median > best.ratioToRaw.median ? each : best))
}
