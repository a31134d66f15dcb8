import type { Channel } from 'node:diagnostics_channel'
import { type CacheEvent, channels, type LoadEvent } from '@stowage/core'

export interface Counts {
  readonly hits: number
  readonly misses: number
  readonly loads: number
  readonly errors: number
  /** How long the last load took, in milliseconds. */
  readonly lastLoadMs?: number
}

type Counter = 'hits' | 'misses' | 'loads' | 'errors'
type Listener = (event: unknown) => void

const zero: Counts = { hits: 0, misses: 0, loads: 0, errors: 0 }

/** Counts the `diagnostics_channel` events of the caches of this process, by the name of the cache. */
export class Statistics {
  readonly #counts = new Map<string, Counts>()
  readonly #startedAt = performance.now()
  readonly #subscriptions: readonly (readonly [Channel, Listener])[] = [
    [channels.hit, (event) => this.#count(event as CacheEvent, 'hits')],
    [channels.miss, (event) => this.#count(event as CacheEvent, 'misses')],
    [channels.error, (event) => this.#count(event as CacheEvent, 'errors')],
    [channels.load, (event) => this.#load(event as LoadEvent)],
  ]

  constructor() {
    for (const [channel, listener] of this.#subscriptions) channel.subscribe(listener)
  }

  of(cache: string): Counts {
    return this.#counts.get(cache) ?? zero
  }

  /** Counts an error that was thrown. Only `remember` handles errors itself and publishes them on the channel. */
  recordError(cache: string): void {
    this.#count({ cache }, 'errors')
  }

  get uptimeMs(): number {
    return performance.now() - this.#startedAt
  }

  close(): void {
    for (const [channel, listener] of this.#subscriptions) channel.unsubscribe(listener)
  }

  #count({ cache }: Pick<CacheEvent, 'cache'>, counter: Counter): void {
    const counts = this.of(cache)
    this.#counts.set(cache, { ...counts, [counter]: counts[counter] + 1 })
  }

  #load(event: LoadEvent): void {
    this.#count(event, 'loads')
    this.#counts.set(event.cache, { ...this.of(event.cache), lastLoadMs: event.durationMs })
  }
}

/** Hits divided by lookups, from 0 to 1. `undefined` before the first lookup. */
export function hitRatio({ hits, misses }: Counts): number | undefined {
  const lookups = hits + misses
  return lookups === 0 ? undefined : hits / lookups
}
