import { CacheError } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'

/** Keys that one command names, and the reply to it. */
export interface KeyGroup<T> {
  readonly keys: readonly string[]
  readonly reply: Promise<T>
}

/**
 * Resolves to the replies of all groups. If some groups fail, it rejects once all have settled, with the outcome of each
 * of `keys`. `itemOf` returns the result for the key at `index` of a group.
 * @throws BatchError, or the failure itself if there is only one group
 */
export async function repliesOf<T>(
  keys: readonly string[],
  groups: readonly KeyGroup<T>[],
  itemOf: (reply: T, index: number) => unknown = () => undefined,
): Promise<T[]> {
  const replies = await Promise.all(groups.map(({ reply }) => reply.catch(failureOf)))
  if (!replies.some((reply) => reply instanceof Failure)) return replies as T[]
  const outcomes = new Map<string, PromiseSettledResult<unknown>>()
  for (const [g, group] of groups.entries()) {
    const reply = replies[g] as T | Failure
    if (groups.length === 1 && reply instanceof Failure && !(reply.error instanceof BatchError))
      throw reply.error
    for (const [k, key] of group.keys.entries()) outcomes.set(key, outcomeOf(reply, key, k))
  }
  throw new BatchError(keys.map((key) => outcomes.get(key) as PromiseSettledResult<unknown>))

  function outcomeOf(
    reply: T | Failure,
    key: string,
    index: number,
  ): PromiseSettledResult<unknown> {
    if (!(reply instanceof Failure)) return { status: 'fulfilled', value: itemOf(reply, index) }
    const { error } = reply
    const own = error instanceof BatchError ? error.outcomes[index] : undefined
    if (own?.status === 'fulfilled') return own
    return { status: 'rejected', reason: CacheError.forCall(own?.reason ?? error, { key }) }
  }
}

/** The error of a group, as distinct from every reply. */
class Failure {
  readonly error: CacheError

  constructor(error: CacheError) {
    this.error = error
  }
}

function failureOf(error: CacheError): Failure {
  return new Failure(error)
}
