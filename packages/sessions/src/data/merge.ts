import { isSameJson, parseObject } from './json-object.ts'
import { mergeCookies } from './session-cookie.ts'
import type { SessionText } from './session-item.ts'

/**
 * Applies the changes from `base` to `ours` to `theirs`, by top-level keys: a key that we changed or deleted is as in
 * `ours`, every other one as in `theirs`. The cookie is one key.
 */
export function merge(base: SessionText, ours: SessionText, theirs: SessionText): SessionText {
  const cookie = mergeCookies(base.cookie, ours.cookie, theirs.cookie)
  return { body: mergeBodies(base.body, ours.body, theirs.body), cookie }
}

function mergeBodies(base: string, ours: string, theirs: string): string {
  // Nobody else has changed anything.
  if (base === theirs || ours === theirs) return ours
  const [before, own, other] = [parseObject(base), parseObject(ours), parseObject(theirs)]
  const result: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(other), ...Object.keys(own)])) {
    const isChanged = jsonOf(before, key) !== jsonOf(own, key)
    const source = isChanged ? own : other
    if (Object.hasOwn(source, key)) result[key] = source[key]
  }
  return JSON.stringify(result)
}

function jsonOf(object: Record<string, unknown>, key: string): string | undefined {
  return Object.hasOwn(object, key) ? JSON.stringify(object[key]) : undefined
}

/** Returns those of `keys` that a session has as it was stored. @param body the JSON of what was stored, if there was anything */
export function unchangedKeys(
  session: Readonly<Record<string, unknown>> | null | undefined,
  body: string | undefined,
  keys: readonly string[],
): string[] {
  if (!session || body === undefined || keys.length === 0) return []
  const stored = JSON.parse(body) as Record<string, unknown>
  return keys.filter((key) => Object.hasOwn(stored, key) && isSameJson(stored[key], session[key]))
}
