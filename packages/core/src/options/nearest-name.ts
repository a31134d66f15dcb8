const maxDistance = 2

/** Returns the known name most similar to a misspelled one, or `undefined` if none is similar. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const ranked = names.map((known) => ({ known, distance: distance(name, known) }))
  ranked.sort((a, b) => a.distance - b.distance)
  const [best] = ranked
  return best !== undefined && best.distance <= maxDistance ? best.known : undefined
}

/** The Levenshtein distance: how many characters must be inserted, deleted or replaced. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const nextRow = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      nextRow[j] = Math.min((row[j] as number) + 1, (nextRow[j - 1] as number) + 1, replaced)
    }
    row = nextRow
  }
  return row[b.length] as number
}
