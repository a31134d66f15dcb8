import { isSameHard, staleSince } from '../tags/tag-version.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { EntryFacts } from '../values/entry.ts'

const noTags: readonly string[] = []

/** Until when an entry is fresh. */
export interface Freshness {
  /** In the time of the backend; `Infinity` without a limit. */
  readonly until: number
  /** Whether one of its tags has made it stale, whatever the clock of this process shows. */
  readonly isStale: boolean
}

/** Determines until when an entry is fresh. `undefined` if one of its tags has been invalidated or lost. */
export function freshnessOf(
  facts: EntryFacts | undefined,
  versions: Versions,
): Freshness | undefined {
  let until = facts?.freshUntil ?? Infinity
  let isStale = false
  for (const tag of tagsOf(facts)) {
    const recorded = facts?.tags?.[tag] ?? ''
    const current = versions.get(tag)
    if (current === recorded) continue
    if (current === undefined || !isSameHard(current, recorded)) return undefined
    isStale = true
    until = Math.min(until, staleSince(current))
  }
  return { until, isStale }
}

/** For how long an entry has been stale, in milliseconds. Negative if it is fresh. */
export function staleMsOf({ until, isStale }: Freshness, now: number): number {
  // The time of the process that invalidated may be ahead.
  return isStale ? Math.max(0, now - until) : now - until
}

/** The names of the tags of an entry. */
export function tagsOf(facts: EntryFacts | undefined): readonly string[] {
  return facts?.tags === undefined ? noTags : Object.keys(facts.tags)
}
