import { parseObject } from './json-object.ts'
import { mergeCookies } from './session-cookie.ts'
import type { SessionText } from './session-text.ts'

/**
 * Applies the changes from `base` to `ours` to `theirs`, by top-level keys: a key that we changed or deleted is as in
 * `ours`, every other one as in `theirs`. The cookie is one key.
 */
export function merge(base: SessionText, ours: SessionText, theirs: SessionText): SessionText {
  const cookie = mergeCookies(base.cookie, ours.cookie, theirs.cookie)
  const { repeatsExpiry } = theirs
  return { body: mergeBodies(base.body, ours.body, theirs.body), cookie, repeatsExpiry }
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
