import type { Failures } from '../connection/pending-requests.ts'

/** @throws the first error */
export function throwFirst(failures: Failures | undefined): void {
  for (const error of failures?.values() ?? []) throw error
}

/** Waits for all writes to a node. `indexes` has those of the small ones. */
export async function mergeFailures(
  largeWrites: readonly (readonly [index: number, write: Promise<void>])[],
  indexes: readonly number[],
  storing: Promise<Failures | undefined> | undefined,
): Promise<Failures> {
  const failures = new Map<number, unknown>()
  const storeSmall = async () => {
    try {
      const found = await storing
      for (const [index, error] of found ?? []) failures.set(indexes[index] as number, error)
    } catch (error) {
      for (const index of indexes) failures.set(index, error)
    }
  }
  const storeLarge = largeWrites.map(([index, write]) =>
    write.catch((error) => failures.set(index, error)),
  )
  await Promise.all([storeSmall(), ...storeLarge])
  return failures
}

/** The failures by the index in `keys`, in which keys may be repeated. */
export function failuresOf(
  keys: readonly string[],
  uniqueKeys: readonly string[],
  failures: Failures | undefined,
): Failures | undefined {
  if (failures === undefined) return undefined
  const byKey = new Map([...failures].map(([index, error]) => [uniqueKeys[index], error]))
  const all = new Map<number, unknown>()
  for (const [index, key] of keys.entries()) if (byKey.has(key)) all.set(index, byKey.get(key))
  return all
}
