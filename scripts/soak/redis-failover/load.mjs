import { CacheError } from '@stowage/core'
import { ttlBase } from './monitor.mjs'

/** @typedef {import('@stowage/core/driver').ByteStore} ByteStore */
/** @typedef {'set' | 'increment' | 'get'} Kind */

/**
 * A settled call.
 * @typedef {object} Call
 * @property {Kind} kind
 * @property {number} n number of the round
 * @property {number} startedAt
 * @property {number} settledAt
 * @property {string} outcome `ok`, the code of a CacheError, or `other error`
 */

const intervalMs = 5

/** Milliseconds since 1970 with a fraction: the time that MONITOR prints, in milliseconds. */
export function now() {
  return performance.timeOrigin + performance.now()
}

/** Every 5 ms, one write to a new key, one increment of a shared counter and one read. Records how each call settles. */
export class Load {
  /** @type {Call[]} */
  calls = []
  /** @type {unknown[]} errors that are not a CacheError */
  otherErrors = []
  pending = 0
  #n = 0
  #store
  #timer

  /** @param {ByteStore} store */
  constructor(store) {
    this.#store = store
    this.#timer = setInterval(() => this.#round(), intervalMs)
  }

  /** Starts no more calls, and waits at most `timeoutMs` for those in flight. @param {number} timeoutMs */
  async stop(timeoutMs) {
    clearInterval(this.#timer)
    const deadline = now() + timeoutMs
    while (this.pending > 0 && now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  #round() {
    const n = this.#n++
    this.#call('set', n, () => this.#store.set(`w:${n}`, `${n}`))
    this.#call('increment', n, () => this.#store.increment('counter', 1, ttlBase + n))
    this.#call('get', n, () => this.#store.get('counter'))
  }

  /** @param {Kind} kind @param {number} n @param {() => unknown} send */
  async #call(kind, n, send) {
    const startedAt = now()
    this.pending++
    const outcome = await this.#outcome(send)
    this.pending--
    this.calls.push({ kind, n, startedAt, settledAt: now(), outcome })
  }

  /** @param {() => unknown} send */
  async #outcome(send) {
    try {
      await send()
      return 'ok'
    } catch (error) {
      if (CacheError.is(error)) return error.code
      this.otherErrors.push(error)
      return 'other error'
    }
  }
}
