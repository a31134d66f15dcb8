import { types } from 'node:util'
import { CacheError } from '../../errors.ts'

export interface UnencodableOptions {
  /** What to do instead: a sentence. */
  readonly remedy?: string | undefined
  /** Finds the member of `value` that the codec cannot represent, for its path. */
  readonly culprit?: { readonly value: unknown; readonly isAt: (member: unknown) => boolean }
  readonly cause?: unknown
}

/**
 * The `ERR_CACHE_CODEC` error of a codec that cannot represent a value. `as` completes "The value cannot be stored",
 * `problem` is a sentence without a full stop. The message has the path of the member, but no value.
 *
 * @example
 * const value = { roles: [Symbol('admin')] }
 * const isAt = (member: unknown) => typeof member === 'symbol'
 * const error = unencodable('as text', 'a symbol has no representation', { culprit: { value, isAt } })
 * console.log(error.message) // The value cannot be stored as text: a symbol has no representation (at roles[0]).
 */
export function unencodable(
  as: string,
  problem: string,
  options: UnencodableOptions = {},
): CacheError {
  const { remedy, culprit, cause } = options
  const path = culprit === undefined ? undefined : pathOf(culprit.value, culprit.isAt)
  const place = path ? ` (at ${path})` : ''
  const sentences = [`The value cannot be stored ${as}: ${problem}${place}.`, remedy]
  return new CacheError('ERR_CACHE_CODEC', sentences.filter(Boolean).join(' '), {
    operation: 'encode',
    cause,
  })
}

/** Deeper members are not found: the call stack is limited. */
const maxDepth = 500
const maxLength = 100

/**
 * Returns the path of the first member of a value for which `isAt` is true, such as `users[0].name`: `''` for the value
 * itself, `undefined` if there is none. The keys of a `Map` are data and not part of a path: its entries have numbers.
 */
function pathOf(value: unknown, isAt: (member: unknown) => boolean): string | undefined {
  const path = findPath(value, isAt, new Set(), 0)?.replace(/^\./, '')
  return path === undefined || path.length <= maxLength ? path : `${path.slice(0, maxLength)}…`
}

function findPath(
  value: unknown,
  isAt: (member: unknown) => boolean,
  seen: Set<unknown>,
  depth: number,
): string | undefined {
  if (isAt(value)) return ''
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined
  if (depth === maxDepth) return undefined
  seen.add(value)
  for (const [step, member] of membersOf(value)) {
    const path = findPath(member, isAt, seen, depth + 1)
    if (path !== undefined) return step + path
  }
  return undefined
}

function membersOf(value: object): (readonly [step: string, member: unknown])[] {
  if (Array.isArray(value)) return value.map((member, index) => [`[${index}]`, member])
  if (types.isSet(value)) return membersOf([...value])
  if (types.isMap(value)) {
    return [...value].flatMap((entry, index) => entry.map((each) => [`[${index}]`, each] as const))
  }
  return Object.entries(value).map(([name, member]) => [`.${name}`, member])
}
