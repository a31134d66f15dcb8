import type { Entry, EntryFacts } from '../entry.ts'
import { CacheError } from '../errors.ts'
import { strongRead } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import { randomId } from '../values/random-id.ts'
import type { StoredEntries } from '../values/stored-entries.ts'
import type { Found } from './entry-reader.ts'

/** Codes of errors that another attempt would meet as well. `REJECTED`: the user of a server may lack the permission. */
const impossible: ReadonlySet<string> = new Set([
  'ERR_CACHE_UNSUPPORTED',
  'ERR_CACHE_REJECTED',
  'ERR_CACHE_LIMIT',
])

/** A store may not know the ttl of an item that is replaced while it is read. */
const maxTtlReads = 3

interface UniqueScope {
  readonly entries: StoredEntries
  readonly root: { readonly time: BackendTime }
}

/** An entry that was read. */
export type FoundEntry = Found & { readonly entry: Entry }

/** Whether an item differs from every later one: a compare-and-set with it notices all writes since it was read. */
export function isUnique({ store }: StoredEntries, { entry, staleMs }: FoundEntry): boolean {
  const { facts } = entry
  if (store.payload === 'entry') return true // Compared by reference.
  // A later write is fresh longer than an entry that is stale already.
  return facts?.id !== undefined || (facts?.freshUntil !== undefined && staleMs >= 0)
}

/**
 * Stores an entry again with an id, and the rest of its ttl. Without one, a load does not notice that the entry was deleted
 * and the same value stored again, and would store a value that was loaded before the delete.
 * Resolves to the new item, or to `'changed'` if the old one does not exist any more.
 *
 * @returns `'impossible'` if the backend does not reveal the rest of the ttl, or the item becomes too large
 */
export async function makeUnique(
  scope: UniqueScope,
  key: string,
  found: FoundEntry,
): Promise<FoundEntry | 'changed' | 'impossible'> {
  const { entries } = scope
  const { store } = entries
  try {
    const end = await endOf(scope, key, found.entry)
    if (typeof end === 'string') return end
    const facts = { ...found.entry.facts, ...end.facts, id: randomId(8), isRewritten: true }
    const item = entries.encode(key, found.entry.value, facts)
    const isStored = await store.compareAndSet(key, found.item, item, end.ttl)
    return isStored ? { ...found, item, entry: { value: found.entry.value, facts } } : 'changed'
  } catch (error) {
    if (CacheError.is(error) && impossible.has(error.code)) return 'impossible'
    throw error
  }
}

/** When an entry expires. */
interface End {
  /** The rest of its ttl, or a little less; `undefined` if it never expires. */
  readonly ttl: number | undefined
  /** Added to the entry: the rest of the ttl begins when the request arrives, which may be late. */
  readonly facts?: Pick<EntryFacts, 'freshUntil' | 'expiresAt'>
}

async function endOf(
  { entries: { store }, root }: UniqueScope,
  key: string,
  { facts }: Entry,
): Promise<End | 'changed' | 'impossible'> {
  // What an entry states may be the time of a process with a wrong clock: alone, it would extend the ttl.
  if (store.getWithTtl === undefined) return 'impossible'
  // Before the read, which may be executed as soon as the request was sent.
  const now = await root.time.estimate()
  const stated = facts?.expiresAt === undefined ? undefined : positive(facts.expiresAt - now)
  for (let reads = 0; reads < maxTtlReads; reads++) {
    const sentAt = performance.now()
    const [found] = await store.getWithTtl([key], strongRead)
    if (found === undefined) return 'changed'
    if (found.ttl === undefined) continue
    if (found.ttl === Infinity) return { ttl: stated }
    const ttl = positive(found.ttl - (performance.now() - sentAt))
    if (stated !== undefined) return { ttl: Math.min(stated, ttl) }
    const expiresAt = Math.ceil(now + found.ttl)
    return { ttl, facts: { freshUntil: facts?.freshUntil ?? expiresAt, expiresAt } }
  }
  return 'impossible'
}

function positive(ms: number): number {
  return Math.max(1, Math.ceil(ms))
}
