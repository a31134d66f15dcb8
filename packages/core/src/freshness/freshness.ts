import { isSameHard, staleSince } from '../tags/tag-version.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { EntryFacts } from '../values/entry.ts'

const noTags: readonly string[] = []

/**
 * Until when an entry is fresh, in the time of the backend: `Infinity` without a limit, `undefined` if one of its tags has
 * been invalidated or lost.
 */
export function freshUntil(facts: EntryFacts | undefined, versions: Versions): number | undefined {
  let until = facts?.freshUntil ?? Infinity
  for (const tag of tagsOf(facts)) {
    const recorded = facts?.tags?.[tag] ?? ''
    const current = versions.get(tag)
    if (current === recorded) continue
    if (current === undefined || !isSameHard(current, recorded)) return undefined
    until = Math.min(until, staleSince(current))
  }
  return until
}

/** The names of the tags of an entry. */
export function tagsOf(facts: EntryFacts | undefined): readonly string[] {
  return facts?.tags === undefined ? noTags : Object.keys(facts.tags)
}
