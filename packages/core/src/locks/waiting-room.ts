import type { InvalidationBus } from '../bus.ts'
import { onAbort } from '../calls/on-abort.ts'
import { CacheError } from '../errors.ts'
import { checkSignal } from '../options/check-arguments.ts'
import type { AnyStore } from '../store.ts'
import { maxTimerMs, pollDelay } from '../time/wait.ts'

/** The longest time between two polls, in milliseconds. */
const maxPollMs = 200

const rooms = new WeakMap<AnyStore, WaitingRoom>()

export interface WaitRequest {
  readonly waitMs: number
  readonly signal?: AbortSignal | undefined
  /** Makes one attempt. @param isFree whether the lock was just released, as far as this process knows */
  readonly attempt: (isFree: boolean) => Promise<boolean>
  /** Whether several calls can succeed, so that the next one makes an attempt after a success. @default false */
  readonly isShared?: boolean | undefined
}

/**
 * The calls of this process that wait for locks on one store. Those for the same lock wait in a queue: only the first one
 * polls. A release in this process, or a message of a bus, wakes it at once.
 */
export class WaitingRoom {
  readonly #queues = new Map<string, Waiter[]>()
  readonly #buses = new WeakSet<InvalidationBus>()

  static of(store: AnyStore): WaitingRoom {
    const existing = rooms.get(store)
    if (existing !== undefined) return existing
    const created = new WaitingRoom()
    rooms.set(store, created)
    return created
  }

  /** Makes attempts until one succeeds or the time is over. Returns whether one did. */
  async wait(key: string, request: WaitRequest): Promise<boolean> {
    const { waitMs, signal, attempt, isShared = false } = request
    checkSignal(signal)
    signal?.throwIfAborted()
    const startedAt = performance.now()
    const mayAttempt = waitMs <= 0 || !this.#queues.has(key)
    if (mayAttempt && (await attempt(true))) return true
    const waiter = this.#join(key)
    try {
      for (;;) {
        const waited = performance.now() - startedAt
        if (waited >= waitMs) return false
        const rest = waitMs - waited
        const delay = waiter === this.#first(key) ? pollDelay(waited, maxPollMs) : rest
        const end = await waiter.pause(Math.min(delay, rest), signal)
        if (end === 'first' || waiter !== this.#first(key)) continue
        if (!(await attempt(end === 'woken'))) continue
        if (isShared) waiter.isWoken = true
        return true
      }
    } catch (error) {
      // No other attempt can succeed. Each call makes its own, one right after the other.
      waiter.isWoken = CacheError.is(error) && error.code === 'ERR_CACHE_CLOSED'
      throw error
    } finally {
      this.#leave(key, waiter)
    }
  }

  /** Lets the messages of a bus wake the calls that wait. Once per bus; after a failure, the next call subscribes again. */
  subscribe(bus: InvalidationBus): void {
    if (this.#buses.has(bus)) return
    this.#buses.add(bus)
    const wake = (keys: readonly string[] | undefined) => {
      for (const key of keys ?? [undefined]) this.wake(key)
    }
    const subscribing = async () => bus.subscribe(wake)
    subscribing().catch(() => this.#buses.delete(bus))
  }

  /** Wakes the first call that waits for the lock; `undefined` means every lock. */
  wake(key: string | undefined): void {
    if (key !== undefined) this.#first(key)?.wake()
    else for (const [first] of this.#queues.values()) first?.wake()
  }

  #first(key: string): Waiter | undefined {
    return this.#queues.get(key)?.[0]
  }

  #join(key: string): Waiter {
    const waiter = new Waiter()
    const queue = this.#queues.get(key)
    if (queue === undefined) this.#queues.set(key, [waiter])
    else queue.push(waiter)
    return waiter
  }

  /** The next call in the queue begins to poll. */
  #leave(key: string, waiter: Waiter): void {
    const queue = this.#queues.get(key) as Waiter[]
    const wasFirst = queue[0] === waiter
    queue.splice(queue.indexOf(waiter), 1)
    if (queue.length === 0) this.#queues.delete(key)
    else if (wasFirst && waiter.isWoken) queue[0]?.wake()
    else if (wasFirst) queue[0]?.becomeFirst()
  }
}

type PauseEnd = 'time' | 'woken' | 'first'

/** A call that waits. */
class Waiter {
  /** Whether it was woken during an attempt. */
  isWoken = false
  #end: ((end: PauseEnd) => void) | undefined

  /** Pauses for `ms` milliseconds, or until it is woken or has become the first in the queue. */
  pause(ms: number, signal: AbortSignal | undefined): Promise<PauseEnd> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer)
        stopListening?.()
        this.#end = undefined
      }
      const abort = () => {
        stop()
        reject(signal?.reason)
      }
      const end = (reason: PauseEnd) => {
        stop()
        resolve(reason)
      }
      const timer = setTimeout(end, Math.min(Math.max(1, ms), maxTimerMs), 'time')
      const stopListening = signal && onAbort(signal, abort)
      this.#end = end
      if (signal?.aborted) abort()
      else if (this.isWoken) this.wake()
    })
  }

  wake(): void {
    this.isWoken = this.#end === undefined
    this.#end?.('woken')
  }

  becomeFirst(): void {
    this.#end?.('first')
  }
}
