import type { ServerResponse } from 'node:http'

type Headers = Pick<ServerResponse, 'getHeader' | 'hasHeader' | 'getHeaderNames'>

/** Headers that only shared caches obey (RFC 9213, and older ones of vendors), and the value that forbids them to store. */
const targeted: readonly (readonly [name: RegExp, value: string])[] = [
  [/^(?:.+-)?cdn-cache-control$/, 'private'],
  [/^(?:surrogate|edge)-control$/, 'no-store'],
  [/^x-accel-expires$/, '0'],
]
/** A member of a list header, which may contain commas in quotes. */
const member = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g

/** Whether a response comes from a cache, or declares that shared caches may store it. */
export function isSharedResponse(response: Headers): boolean {
  const isTargeted = targetedHeaders(response).length > 0
  return response.hasHeader('Age') || isTargeted || directivesOf(response).some(isShared)
}

/**
 * Returns the headers to set, so that at most the browser stores a response with a cookie: RFC 9111 section 7.3 permits shared
 * caches to store it, and section 4.2.2 also without a `Cache-Control`.
 */
export function privateHeaders(response: Headers): [name: string, value: string][] {
  const others = targetedHeaders(response)
  const directives = directivesOf(response)
  const kept = directives.filter((directive) => !isShared(directive) && !isPrivate(directive))
  if (kept.length === directives.length - 1 && directives.some(isPrivate)) return others
  // With "must-understand", caches ignore "no-store" (RFC 9111 section 5.2.2.3).
  const isStored = directives.some((directive) => /^must-understand$/i.test(directive))
  const isNotStored = !isStored && directives.some((directive) => /^no-store$/i.test(directive))
  if (isNotStored && kept.length === directives.length) return others
  return [['Cache-Control', ['private', ...kept].join(', ')], ...others]
}

function targetedHeaders(response: Headers): [name: string, value: string][] {
  return response.getHeaderNames().flatMap((name) => {
    const [, value] = targeted.find(([pattern]) => pattern.test(name)) ?? []
    return value === undefined ? [] : [[name, value] as [string, string]]
  })
}

function directivesOf(response: Headers): string[] {
  const value = [response.getHeader('Cache-Control') ?? []].flat().join(',')
  const members = value.match(member) ?? []
  return members.map(trimBlanks).filter((directive) => directive !== '')
}

/** Removes spaces and tabs only: other white space is part of a directive, which no cache understands then. */
function trimBlanks(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && isBlank(text[start])) start++
  while (end > start && isBlank(text[end - 1])) end--
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

function isShared(directive: string): boolean {
  return /^(?:public|s-maxage)(?![\w-])/i.test(directive)
}

function isPrivate(directive: string): boolean {
  return /^private$/i.test(directive)
}
