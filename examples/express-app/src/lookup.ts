import { AsyncLocalStorage } from 'node:async_hooks'
import { channels } from '@stowage/core'

/**
 * How a value was come by. `shared`: somebody else was loading it already, and we waited for that.
 * `unavailable`: the store failed, and the value was computed without it.
 */
export type Outcome = 'hit' | 'miss' | 'shared' | 'unavailable'

export interface Lookup<T> {
  readonly value: T
  readonly outcome: Outcome
  readonly durationMs: number
}

const current = new AsyncLocalStorage<{ outcome: Outcome }>()

// An event is published in the asynchronous context of the call it tells of, so it finds its lookup.
for (const [name, outcome] of [
  ['hit', 'hit'],
  ['miss', 'miss'],
  ['shared', 'shared'],
  ['error', 'unavailable'],
] as const) {
  channels[name].subscribe(() => {
    const lookup = current.getStore()
    if (lookup !== undefined) lookup.outcome = outcome
  })
}

/** What `ask` answers, how long it took, and whether the cache had it. */
export async function watched<T>(ask: () => Promise<T>): Promise<Lookup<T>> {
  const lookup = { outcome: 'miss' as Outcome }
  const start = performance.now()
  const value = await current.run(lookup, ask)
  return { value, outcome: lookup.outcome, durationMs: performance.now() - start }
}
