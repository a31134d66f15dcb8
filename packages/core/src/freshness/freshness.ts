import { createdAt, parseVersion } from '../tags/tag-version.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { EntryFacts } from '../values/entry.ts'

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
  for (const [tag, recorded] of Object.entries(facts?.tags ?? {})) {
    const current = versions.get(tag)
    const version = parseVersion(recorded)
    if (current === undefined || version?.hard !== current.hard) return undefined
    if (version.soft === current.soft) continue
    isStale = true
    until = Math.min(until, createdAt(current.soft))
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
  return facts?.tags === undefined ? [] : Object.keys(facts.tags)
}
