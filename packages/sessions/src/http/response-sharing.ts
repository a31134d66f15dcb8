import type { ServerResponse } from 'node:http'

type Headers = Pick<ServerResponse, 'getHeader' | 'hasHeader'>

/** What only shared caches obey (RFC 9213), and the value with which they do not store a response. */
const targeted = { 'CDN-Cache-Control': 'private', 'Surrogate-Control': 'no-store' } as const

/** Whether a response comes from a cache, or declares that shared caches may store it. */
export function isSharedResponse(response: Headers): boolean {
  const names = ['Age', ...Object.keys(targeted)]
  return names.some((name) => response.hasHeader(name)) || directivesOf(response).some(isShared)
}

/** Returns the headers to set, so that only the browser may store a response that it may store now. */
export function privateHeaders(response: Headers): [name: string, value: string][] {
  const others = Object.entries(targeted).filter(([name]) => response.hasHeader(name))
  const directives = directivesOf(response)
  const isStorable = directives.length > 0 || response.hasHeader('Expires')
  if (!isStorable || directives.some(isPrivate)) return others
  const kept = directives.filter((directive) => !isShared(directive))
  return [['Cache-Control', ['private', ...kept].join(', ')], ...others]
}

function directivesOf(response: Headers): string[] {
  const value = [response.getHeader('Cache-Control') ?? []].flat().join(',')
  return value
    .split(',')
    .map((directive) => directive.trim())
    .filter((directive) => directive !== '')
}

function isShared(directive: string): boolean {
  return /^(?:public|s-maxage)\b/i.test(directive)
}

function isPrivate(directive: string): boolean {
  return /^(?:private|no-store)$/i.test(directive)
}
