import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache } from '@stowage/core'

export interface Counts {
  hits: number
  misses: number
  errors: number
  /** Reads that returned the value of another key. This must stay 0. */
  wrong: number
}

const keyCount = 2_000
const workerCount = 20

/** Reads random keys all the time, and writes those that are missing. */
export class LoadGenerator {
  readonly #cache: Cache
  readonly #keys = Array.from({ length: keyCount }, (_, index) => `user:${index}`)
  #counts = zeroCounts()
  #workers: Promise<unknown> | undefined
  #stopped = false

  constructor(cache: Cache) {
    this.#cache = cache
  }

  /** Writes all keys once, then starts the workers. */
  async start(): Promise<void> {
    await this.#cache.setMany(this.#keys.map((key) => [key, key]))
    this.#workers = Promise.all(Array.from({ length: workerCount }, () => this.#work()))
  }

  /** Returns the counts since the last call, and resets them. */
  takeCounts(): Counts {
    const counts = this.#counts
    this.#counts = zeroCounts()
    return counts
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#workers
  }

  async #work(): Promise<void> {
    while (!this.#stopped) {
      const key = this.#keys[Math.floor(Math.random() * keyCount)] as string
      try {
        await this.#readOrWrite(key)
      } catch {
        this.#counts.errors++
      }
      await sleep(2)
    }
  }

  async #readOrWrite(key: string): Promise<void> {
    const value = await this.#cache.get(key)
    if (value === undefined) {
      this.#counts.misses++
      await this.#cache.set(key, key)
    } else if (value === key) this.#counts.hits++
    else this.#counts.wrong++
  }
}

function zeroCounts(): Counts {
  return { hits: 0, misses: 0, errors: 0, wrong: 0 }
}
