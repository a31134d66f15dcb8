import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type Awaitable, CacheError } from '@stowage/core'
import { isUnreachable } from '@stowage/core/driver'
import { settle, settlesWithin } from './assertions.ts'
import type { ConformanceContext } from './context.ts'

const defaultDeadlineMs = 10_000
const minRecoveryMs = 10_000
const pollIntervalMs = 50

interface Pingable {
  ping(): Awaitable<void>
}

/** Breaks the backend and restores it, and checks the calls meanwhile. */
export class Outage {
  readonly #context: ConformanceContext
  readonly #break: () => Awaitable<void>
  readonly #restore: () => Awaitable<void>
  readonly #deadlineMs: number

  private constructor(context: ConformanceContext, onBreak: () => Awaitable<void>) {
    this.#context = context
    this.#break = onBreak
    const { restoreBackend, deadlineMs = defaultDeadlineMs } = context
    assert.ok(restoreBackend !== undefined, 'breakBackend needs restoreBackend')
    this.#restore = restoreBackend
    this.#deadlineMs = deadlineMs
  }

  /** `undefined` for a context without `breakBackend`. */
  static of(context: ConformanceContext): Outage | undefined {
    const { breakBackend } = context
    return breakBackend === undefined ? undefined : new Outage(context, breakBackend)
  }

  /** Runs `act` while the backend is unreachable, and returns when it is reachable again. */
  async during(act: () => Promise<void>): Promise<void> {
    await this.#break()
    try {
      await act()
    } finally {
      await this.#restore()
    }
  }

  /** Polls until the store, by default that of the context, replies. */
  async waitUntilReachable(store: Pingable = this.#context.store): Promise<void> {
    await this.untilReachable(() => store.ping())
  }

  /** Repeats a call until it succeeds: on a slow machine, a backend that is reachable may reply after the deadline. */
  async untilReachable<T>(call: () => Awaitable<T>): Promise<T> {
    const { wait } = this.#context
    const timeoutMs = Math.max(minRecoveryMs, 2 * this.#deadlineMs)
    for (let waitedMs = 0; ; waitedMs += pollIntervalMs) {
      const outcome = await settle(call)
      if (outcome.status === 'fulfilled') return outcome.value
      const rule = 'a store recovers when the backend is reachable again'
      assert.ok(waitedMs < timeoutMs, `${rule}: ${inspect(outcome.reason)}`)
      // A store on a manual clock may wait for that clock, and for its connection.
      await wait(pollIntervalMs)
      if (this.#context.exact === true) await sleep(pollIntervalMs)
    }
  }

  /** Asserts that the call settles before the deadline. */
  assertSettles<T>(name: string, call: () => Awaitable<T>): Promise<PromiseSettledResult<T>> {
    return settlesWithin(this.#deadlineMs, name, call)
  }

  /** Asserts that the call fails before the deadline because the backend is unreachable. Returns the error. */
  async assertFails(name: string, call: () => Awaitable<unknown>): Promise<CacheError> {
    const outcome = await this.assertSettles(name, call)
    if (outcome.status === 'rejected') return assertUnreachable(name, outcome.reason)
    return assert.fail(`${name} without a backend returned ${inspect(outcome.value)}`)
  }
}

/** Asserts that the error means that the backend is unreachable, and returns it. */
export function assertUnreachable(name: string, error: unknown): CacheError {
  assert.ok(CacheError.is(error), `${name}: expected a CacheError, got ${inspect(error)}`)
  const rule = `${name} without a backend fails with ERR_CACHE_UNAVAILABLE or ERR_CACHE_TIMEOUT`
  assert.ok(isUnreachable(error), `${rule}, not with ${error.code}`)
  return error
}
