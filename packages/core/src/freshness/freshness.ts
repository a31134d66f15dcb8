import type { EntryFacts } from '../entry.ts'
import { invalidatedAt, isSameHard } from '../tags/tag-version.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Mark } from '../values/mark.ts'

const noTags: readonly string[] = []

/**
 * For how long an entry has been stale at the time `now` of the backend, in milliseconds. Negative if it is fresh.
 * `undefined` if one of its tags has been invalidated or lost, or if the entry has expired: the request that stored it may
 * have arrived late.
 */
export function staleMsOf(
  facts: EntryFacts | undefined,
  versions: Versions,
  now: number,
): number | undefined {
  if (facts === undefined) return -Infinity
  const { freshUntil = Infinity, expiresAt = Infinity, tags } = facts
  if (expiresAt <= now) return undefined
  let until = freshUntil
  let isStale = false
  // Without an array of the names: most reads of a tagged entry do only this.
  for (const tag in tags) {
    const recorded = tags[tag] as string
    const current = versions.get(tag)
    if (current === recorded) continue
    if (current === undefined || !isSameHard(current, recorded)) return undefined
    isStale = true
    until = Math.min(until, invalidatedAt(current))
  }
  // The time of the process that invalidated may be ahead.
  return isStale ? Math.max(0, now - until) : now - until
}

/** The names of the tags of an entry. */
export function tagsOf(facts: EntryFacts | undefined): readonly string[] {
  return facts?.tags === undefined ? noTags : Object.keys(facts.tags)
}

/**
 * Whether the change of a mark is in progress. It is over if the mark was not renewed, although a `touch` may have extended
 * the expiry of the mark. Without the time of the backend, it counts as one in progress.
 */
export async function isInProgress({ end = Infinity }: Mark, time: BackendTime): Promise<boolean> {
  try {
    return (await time.estimateOrThrow()) < end
  } catch {
    return true
  }
}
