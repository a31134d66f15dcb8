import { invalidatedAt, parseVersion } from '../tags/tag-version.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { EntryFacts } from '../values/entry.ts'

/**
 * Until when an entry is fresh, in the time of the backend: `Infinity` without a limit, `undefined` if one of its tags has
 * been invalidated or lost.
 */
export function freshUntil(facts: EntryFacts | undefined, versions: Versions): number | undefined {
  let until = facts?.freshUntil ?? Infinity
  for (const [tag, recorded] of Object.entries(facts?.tags ?? {})) {
    const current = versions.get(tag)
    const version = parseVersion(recorded)
    if (current === undefined || version?.hard !== current.hard) return undefined
    if (version.soft !== current.soft) until = Math.min(until, invalidatedAt(current.soft))
  }
  return until
}

/** The names of the tags of an entry. */
export function tagsOf(facts: EntryFacts | undefined): readonly string[] {
  return facts?.tags === undefined ? [] : Object.keys(facts.tags)
}
