import { type FrameworkRequest, publicUrlOf, type RequestKeys, tagOfUrl } from './request-keys.ts'
import type { VaryPlan } from './vary-by.ts'

interface TaggedRequest {
  readonly request: FrameworkRequest
  /** Those of the route. */
  readonly tags: readonly string[]
  readonly keys: RequestKeys
}

/**
 * The tags of a response that are known before its handler runs: those of the route, and those by which its URL is
 * invalidated if the URL alone does not determine the key.
 *
 * @throws TypeError for tags of the route that a cache would not store
 */
export function requestTags(
  { request, tags, keys }: TaggedRequest,
  { partOf }: VaryPlan,
): readonly string[] {
  const all = [...checkTags(tags)]
  if (partOf !== undefined || keys.content !== undefined) all.push(tagOfUrl(keys.url))
  if (keys.path !== undefined) all.push(tagOfUrl(keys.path))
  const publicUrl = publicUrlOf(request, keys.url)
  if (publicUrl !== undefined) all.push(tagOfUrl(publicUrl))
  return all
}

/** @throws TypeError for tags that a cache would not store */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError("Tags must be an array, such as ['products'].")
  for (const tag of tags as readonly unknown[]) {
    if (typeof tag !== 'string' || tag === '') {
      throw new TypeError(`A tag must be a non-empty string, and not ${describe(tag)}.`)
    }
  }
  return tags
}

function describe(tag: unknown): string {
  if (Array.isArray(tag)) return 'an array: use tags(...names)'
  return tag === '' ? "''" : String(tag)
}
