import { CacheError } from '../../errors.ts'
import { pathOf } from './member-path.ts'

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
