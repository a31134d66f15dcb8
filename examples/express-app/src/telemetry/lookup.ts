import { AsyncLocalStorage } from 'node:async_hooks'
import { channels } from '@stowage/core'

/**
 * Where the value came from. `shared`: from a load that another call had started (single flight).
 * `unavailable`: the store failed, and the value was loaded without it.
 */
export type Outcome = 'hit' | 'miss' | 'shared' | 'unavailable'

export interface Lookup<T> {
  readonly value: T
  readonly outcome: Outcome
  readonly durationMs: number
}

const current = new AsyncLocalStorage<{ outcome: Outcome }>()

// An event is published in the async context of the call that caused it, so getStore() returns its lookup.
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

/** Calls `read`, and reports how long it took and where its value came from. */
export async function traceLookup<T>(read: () => Promise<T>): Promise<Lookup<T>> {
  const lookup = { outcome: 'miss' as Outcome }
  const start = performance.now()
  const value = await current.run(lookup, read)
  return { value, outcome: lookup.outcome, durationMs: performance.now() - start }
}
