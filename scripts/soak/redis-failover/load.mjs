import { CacheError } from '@stowage/core'
import { ttlBase } from './monitor.mjs'

/** @typedef {import('@stowage/core').ByteStore} ByteStore */
/** @typedef {'set' | 'increment' | 'get'} Kind */
/** @typedef {{ kind: Kind, n: number, began: number, told: number, outcome: string }} Call a code, or `ok` */

const everyMs = 5

/** Milliseconds since 1970 with a fraction, as the servers' MONITOR has them. */
export function now() {
  return performance.timeOrigin + performance.now()
}

/** One write to a key of its own, one increment of one counter and one read, over and over; and what each was told. */
export class Load {
  /** @type {Call[]} those that have settled */
  calls = []
  /** @type {unknown[]} failures that are no CacheError */
  problems = []
  pending = 0
  #n = 0
  #store
  #timer

  /** @param {ByteStore} store */
  constructor(store) {
    this.#store = store
    this.#timer = setInterval(() => this.#round(), everyMs)
  }

  /** Begins no more calls. Resolves when all have settled; after `patienceMs`, some hang. @param {number} patienceMs */
  async stop(patienceMs) {
    clearInterval(this.#timer)
    const end = now() + patienceMs
    while (this.pending > 0 && now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  #round() {
    const n = this.#n++
    this.#call('set', n, () => this.#store.set(`w:${n}`, `${n}`))
    this.#call('increment', n, () => this.#store.increment('counter', 1, ttlBase + n))
    this.#call('get', n, () => this.#store.get('counter'))
  }

  /** @param {Kind} kind @param {number} n @param {() => unknown} send */
  async #call(kind, n, send) {
    const began = now()
    this.pending++
    const outcome = await this.#outcome(send)
    this.pending--
    this.calls.push({ kind, n, began, told: now(), outcome })
  }

  /** @param {() => unknown} send */
  async #outcome(send) {
    try {
      await send()
      return 'ok'
    } catch (error) {
      if (CacheError.is(error)) return error.code
      this.problems.push(error)
      return 'problem'
    }
  }
}
