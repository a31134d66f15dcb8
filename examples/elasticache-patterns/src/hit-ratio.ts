import { type CacheEvent, channels } from '@stowage/core'

/** Counts the hits and misses of a cache, from the events that every cache publishes. */
export class HitRatio {
  hits = 0
  misses = 0
  readonly #cache: string
  readonly #onHit = (event: unknown) => {
    if (this.#isOwn(event)) this.hits++
  }
  readonly #onMiss = (event: unknown) => {
    if (this.#isOwn(event)) this.misses++
  }

  /** @param cache the name of the cache */
  constructor(cache: string) {
    this.#cache = cache
    channels.hit.subscribe(this.#onHit)
    channels.miss.subscribe(this.#onMiss)
  }

  /** From 0 to 1. */
  get ratio(): number {
    return this.hits / Math.max(1, this.hits + this.misses)
  }

  stop(): void {
    channels.hit.unsubscribe(this.#onHit)
    channels.miss.unsubscribe(this.#onMiss)
  }

  #isOwn(event: unknown): boolean {
    return (event as CacheEvent).cache === this.#cache
  }
}
