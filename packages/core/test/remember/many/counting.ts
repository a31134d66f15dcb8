/** A loader that returns the key and the number of the load, and records what it was asked for. */
export function counting() {
  const asked: (readonly string[])[] = []
  const load = async (missing: readonly string[]) => {
    asked.push(missing)
    return new Map(missing.map((key) => [key, `${key} ${asked.length}`]))
  }
  return { asked, load }
}
