const subject = /^stowage\b/

/**
 * The fastest contestant that an application could use instead of Stowage. Not counted are `minimal`, which shows a bound,
 * and `raw-json`, `no-store` and others that only serve as a baseline.
 *
 * @param {object[]} rows the rows of one workload
 */
export function fastestOther(rows) {
  const others = rows.filter(({ contestant, ratioToRaw }) => ratioToRaw && isUsable(contestant))
  return others.reduce(
    (best, row) => (best?.ratioToRaw.median >= row.ratioToRaw.median ? best : row),
    undefined,
  )
}

function isUsable(contestant) {
  return !subject.test(contestant) && !['minimal', 'no-store', 'raw-json'].includes(contestant)
}

/** The workloads in which another contestant is faster than `stowage`: the row of each of the two. */
export function slowerCells(rows) {
  const ids = [...new Set(rows.map(({ id }) => id))]
  return ids.flatMap((id) => {
    const cells = rows.filter((row) => row.id === id)
    const own = cells.find(({ contestant }) => contestant === 'stowage')
    const other = fastestOther(cells)
    if (!own?.ratioToRaw || !other || own.ratioToRaw.median >= other.ratioToRaw.median) return []
    return [{ id, own, other }]
  })
}
