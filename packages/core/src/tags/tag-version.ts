import { randomId } from '../values/random-id.ts'

/**
 * The version of a tag, as it is stored: `hard.soft`. The first part is replaced when entries with the tag become
 * invalid, the second one when they become stale. Versions are compared for equality only, so the clocks of processes
 * need not agree.
 */
export type TagVersion = string

/**
 * The version of a tag that is being changed: entries with the tag are misses, and none can be stored with it. It is not
 * stored: a mark is, see `values/mark.ts`.
 */
export const changingVersion: TagVersion = '~.~'

/** @param invalidatedAt the time of the backend in epoch milliseconds; 0 for a new tag */
export function createVersion(invalidatedAt: number): TagVersion {
  const id = createId(invalidatedAt)
  return `${id}.${id}`
}

/** Returns a version of which only the second part is new. */
export function createStaleVersion(current: TagVersion, invalidatedAt: number): TagVersion {
  return `${hardPart(current)}.${createId(invalidatedAt)}`
}

/** Returns whether a text is a version, and not a foreign value. */
export function isVersion(text: string): boolean {
  return text.indexOf('.') > 0
}

/** Whether entries with one version are also valid with the other. They may be stale. */
export function isSameHard(a: TagVersion, b: TagVersion): boolean {
  return hardPart(a) === hardPart(b)
}

/**
 * When entries with this tag became stale or invalid, by the time of the backend; 0 if never. An invalidation replaces both
 * parts, so the second one contains the later time.
 */
export function invalidatedAt(version: TagVersion): number {
  return Number.parseInt(version.slice(version.indexOf('.') + 1), 36) // Ends at the "-".
}

function hardPart(version: TagVersion): string {
  return version.slice(0, version.indexOf('.'))
}

function createId(time: number): string {
  return `${time.toString(36)}-${randomId(8)}`
}
