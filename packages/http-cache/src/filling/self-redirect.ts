import type { Exchange } from '../exchange/exchange.ts'
import { textOf } from '../headers/header-list.ts'
import type { ResolvedOptions } from '../options.ts'
import type { JudgedResponse } from '../policy/storing.ts'
import { normalizeByRule } from '../request/query.ts'
import { pathOf, pathOnHost, schemeOf, targetOf } from '../request/request-keys.ts'

const scheme = /^[a-z][a-z\d+.-]*(?=:)/i

/**
 * Whether a redirect leads to a URL with the key of its request, such as from `/p?` to `/p`, or to the same parameters in
 * another order. Stored, it would answer that URL as well, and browsers would follow it for ever. Of a route that determines
 * its keys, the path decides.
 */
export function isSelfRedirect(
  { status, headers }: JudgedResponse,
  { request, keys }: Exchange,
  { key, keys: { query } }: ResolvedOptions,
): boolean {
  const location = textOf(headers.location)
  if (location === undefined || status < 300 || status > 399) return false
  const from = pathOnHost(request, targetOf(request))
  const to = pathOnHost(request, location)
  if (from === undefined || to === undefined) return false
  if (key !== undefined) return pathOf(from) === pathOf(to)
  const [stated] = scheme.exec(location) ?? []
  if (stated !== undefined && stated.toLowerCase() !== schemeOf(request)) return false
  const [first, next] = [from, to].map((path) => normalizeByRule(path, query, keys.rule))
  return first === next
}
