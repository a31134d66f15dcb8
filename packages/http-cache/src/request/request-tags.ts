import type { ResolvedOptions } from '../options.ts'
import { publicUrlOf, tagOfUrl } from '../request/request-key.ts'
import { checkTags } from '../response/tags.ts'
import type { Exchange } from './exchange.ts'

/**
 * The tags of a response that are known before its handler runs: those of the route, and those by which its URL is
 * invalidated if the URL alone does not determine the key.
 *
 * @throws TypeError for tags of the route that a cache would not store
 */
export function requestTags(
  { request, tags, keys }: Exchange,
  { variation }: ResolvedOptions,
): readonly string[] {
  const all = [...checkTags(tags)]
  if (variation.partOf !== undefined) all.push(tagOfUrl(keys.url))
  if (keys.path !== undefined) all.push(tagOfUrl(keys.path))
  const publicUrl = publicUrlOf(request, keys.url)
  if (publicUrl !== undefined) all.push(tagOfUrl(publicUrl))
  return all
}
