import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache } from '@stowage/core'

export interface Counts {
  hits: number
  misses: number
  errors: number
  /** Values that are not those of their key. There must never be one. */
  wrong: number
}

const keyCount = 2_000
const workers = 20

/** Visitors that look things up all the time, and store what is missing. */
export class Load {
  readonly #cache: Cache
  readonly #keys = Array.from({ length: keyCount }, (_, index) => `stowage-example:user:${index}`)
  #counts = nothing()
  #running: Promise<unknown> | undefined
  #over = false

  constructor(cache: Cache) {
    this.#cache = cache
  }

  /** Stores everything once, and begins. */
  async start(): Promise<void> {
    await this.#cache.setMany(this.#keys.map((key) => [key, key]))
    this.#running = Promise.all(Array.from({ length: workers }, () => this.#work()))
  }

  /** Since the last time. */
  take(): Counts {
    const counts = this.#counts
    this.#counts = nothing()
    return counts
  }

  async stop(): Promise<void> {
    this.#over = true
    await this.#running
  }

  async #work(): Promise<void> {
    while (!this.#over) {
      const key = this.#keys[Math.floor(Math.random() * keyCount)] as string
      try {
        await this.#visit(key)
      } catch {
        this.#counts.errors++
      }
      await sleep(2)
    }
  }

  async #visit(key: string): Promise<void> {
    const value = await this.#cache.get(key)
    if (value === undefined) {
      this.#counts.misses++
      await this.#cache.set(key, key)
    } else if (value === key) this.#counts.hits++
    else this.#counts.wrong++
  }
}

function nothing(): Counts {
  return { hits: 0, misses: 0, errors: 0, wrong: 0 }
}
