import type { EntryCodec } from '../values/entry-codec.ts'

/** A value that a loader stores beside the loaded one. */
export interface Companion {
  /** The key of the cache under which it is read. */
  readonly name: string
  readonly value: unknown
}

/** What a loader requests for the companions of its value. */
export interface CompanionRequests {
  readonly companions: readonly Companion[]
  /** The names of those that already exist and remain, because the value has not been modified. */
  readonly keptCompanions: readonly string[]
}

/** How much longer than its value a companion exists, so that a reader of the value still finds it, in milliseconds. */
const readerMs = 60_000

/**
 * Stores the companions of a value that is about to be stored, and extends the ttl of those that remain. Returns whether all
 * exist.
 *
 * @param ttl how long the value exists, in milliseconds
 */
export async function storeCompanions(
  entries: EntryCodec,
  toStorageKey: (name: string) => string,
  { companions, keptCompanions }: CompanionRequests,
  ttl: number | undefined,
): Promise<boolean> {
  const { store } = entries
  const companionTtl = ttl === undefined ? undefined : ttl + readerMs
  const writes = companions.map(async ({ name, value }) => {
    const key = toStorageKey(name)
    await store.set(key, entries.encode(key, value), companionTtl)
    return true
  })
  const touches = keptCompanions.map(async (name) => store.touch(toStorageKey(name), companionTtl))
  return (await Promise.all([...writes, ...touches])).every(Boolean)
}

/** The names of the companions that a value has when it is stored. */
export function companionNames({ companions, keptCompanions }: CompanionRequests): string[] {
  return [...keptCompanions, ...companions.map(({ name }) => name)]
}
