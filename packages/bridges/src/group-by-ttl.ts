/** Groups entries by what `ttlOf` returns, because `cache.setMany` has one ttl for all. */
export function groupByTtl<E>(
  entries: Iterable<E>,
  ttlOf: (entry: E) => number | undefined,
): Map<number | undefined, E[]> {
  const groups = new Map<number | undefined, E[]>()
  for (const entry of entries) {
    const ttl = ttlOf(entry)
    const group = groups.get(ttl)
    if (group === undefined) groups.set(ttl, [entry])
    else group.push(entry)
  }
  return groups
}
