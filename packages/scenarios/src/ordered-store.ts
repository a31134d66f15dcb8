import type { ByteStore } from '@stowage/core/driver'
import type { ProcessContext } from '@stowage/testing/simulation'

/** The store of a process. A network without order needs the wrapper that the drivers use there. */
export function orderedStore({ traits, store, withKeyOrder }: ProcessContext): ByteStore {
  return traits.ordered ? store : withKeyOrder(store)
}
