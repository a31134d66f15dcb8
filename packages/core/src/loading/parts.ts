import type { EntryCodec } from '../values/entry-codec.ts'

/** A value that a loader stores beside the loaded one. */
export interface Part {
  /** The key of the cache under which it is read. */
  readonly name: string
  readonly value: unknown
}

/** What a loader requests for the parts of its value. */
export interface PartRequests {
  readonly parts: readonly Part[]
  /** The names of those that already exist and remain, because the value has not been modified. */
  readonly keptParts: readonly string[]
}

/** How much longer than its value a part exists, so that a reader of the value still finds it, in milliseconds. */
const readerMs = 60_000

/**
 * Stores the parts of a value that is about to be stored, and extends the ttl of those that remain. Returns whether all
 * exist.
 *
 * @param ttl how long the value exists, in milliseconds
 */
export async function storeParts(
  entries: EntryCodec,
  toStorageKey: (name: string) => string,
  { parts, keptParts }: PartRequests,
  ttl: number | undefined,
): Promise<boolean> {
  const { store } = entries
  const partTtl = ttl === undefined ? undefined : ttl + readerMs
  const writes = parts.map(async ({ name, value }) => {
    const key = toStorageKey(name)
    await store.set(key, entries.encode(key, value), partTtl)
    return true
  })
  const touches = keptParts.map(async (name) => store.touch(toStorageKey(name), partTtl))
  return (await Promise.all([...writes, ...touches])).every(Boolean)
}

/** The names of the parts that a value has when it is stored. */
export function partNames({ parts, keptParts }: PartRequests): string[] {
  return [...keptParts, ...parts.map(({ name }) => name)]
}
