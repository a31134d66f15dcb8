import type { InvalidationBus } from '../bus.ts'
import { type CacheEvent, channels, type LockEvent, publishError, reject } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { ActiveLoads } from '../loading/current-load.ts'
import type { AnyStore } from '../store.ts'
import type { Fences } from './fences.ts'
import { WaitingRoom, type WaitRequest } from './waiting-room.ts'

export interface LockName {
  /** As the application calls it, for errors. */
  readonly name: string
  /** The storage key of the lock. */
  readonly key: string
  /** The storage key in whose queue calls wait. */
  readonly queueKey: string
  /** The storage key of its fencing numbers. */
  readonly fenceKey: string
}

export interface LockContextOptions {
  /** Where the locks are. */
  readonly store: AnyStore
  readonly fences: Fences
  /** Name of the cache, for events. */
  readonly cache: string
  readonly activeLoads: ActiveLoads
  readonly bus: InvalidationBus | undefined
}

interface AcquireOptions {
  readonly operation: 'lock' | 'concurrency'
  readonly problem: string
  readonly keyOf?: () => string
}

/** Name of the driver that accepts every write and keeps nothing. */
const nullDriver = 'null'

/** What the locks of a cache share. */
export class LockContext {
  readonly store: AnyStore
  readonly fences: Fences
  /** Work under a lock is aborted by `close()`, as loads are. */
  readonly activeLoads: ActiveLoads
  readonly #cache: string
  readonly #waitingRoom: WaitingRoom
  readonly #bus: InvalidationBus | undefined

  /** @throws CacheError `ERR_CACHE_UNSUPPORTED` if the store keeps nothing: it would give every caller the lock */
  constructor({ store, fences, cache, activeLoads, bus }: LockContextOptions) {
    if (store.name === nullDriver) throw keepsNothing()
    this.store = store
    this.fences = fences
    this.activeLoads = activeLoads
    this.#cache = cache
    this.#waitingRoom = WaitingRoom.of(store)
    this.#bus = bus
  }

  /**
   * Waits in a queue until an attempt succeeds.
   *
   * @param problem of the error, continues the name of the lock
   * @param keyOf the key of what was acquired, for events
   * @throws CacheError `ERR_CACHE_LOCKED` if none did in time
   */
  async acquire(
    { name, queueKey }: Pick<LockName, 'name' | 'queueKey'>,
    request: WaitRequest,
    { operation, problem, keyOf = () => queueKey }: AcquireOptions,
  ): Promise<void> {
    const startedAt = performance.now()
    if (request.waitMs > 0 && this.#bus !== undefined) this.#waitingRoom.subscribe(this.#bus)
    const waiting = this.#waitingRoom.wait(queueKey, request)
    const isAcquired = await this.publishFailure(queueKey, waiting, operation)
    const waitedMs = performance.now() - startedAt
    this.publish(isAcquired ? keyOf() : queueKey, isAcquired ? 'acquired' : 'refused', waitedMs)
    if (isAcquired) return
    const waited = `${problem} Waited for ${Math.round(waitedMs)} ms.`
    throw this.lockedError({ name, key: queueKey }, waited)
  }

  /** Wakes a call that waits for the key, in this process and in others that the bus reaches. */
  notifyReleased(key: string): void {
    this.#waitingRoom.wake(key)
    // Without the message, the others find the lock by polling.
    if (this.#bus?.connected === true) this.#publish(this.#bus, key).catch(() => {})
  }

  publish(key: string, outcome: LockEvent['outcome'], durationMs: number): void {
    if (!channels.lock.hasSubscribers) return
    channels.lock.publish({ ...this.#event(key), outcome, durationMs } satisfies LockEvent)
  }

  /** Creates the error of a lock that was not acquired, or was lost. @param problem continues the name of the lock */
  lockedError({ name, key }: Pick<LockName, 'name' | 'key'>, problem: string): CacheError {
    const store = this.store.name
    const message = `${store} lock failed: ${JSON.stringify(name)} ${problem}`
    return new CacheError('ERR_CACHE_LOCKED', message, {
      store,
      operation: 'lock',
      key,
      retryable: true,
    })
  }

  /** Settles like the result of a call, whose failure it publishes. */
  publishFailure<T>(
    key: string,
    result: Promise<T>,
    operation: 'lock' | 'concurrency' = 'lock',
  ): Promise<T> {
    return result.catch((error) => reject(this.#event(key), operation, error))
  }

  publishError(key: string, error: unknown): void {
    publishError(this.#event(key), error)
  }

  #event(key: string): CacheEvent {
    return { cache: this.#cache, store: this.store.name, key }
  }

  async #publish(bus: InvalidationBus, key: string): Promise<void> {
    await bus.publish([key])
  }
}

function keepsNothing(): CacheError {
  const message =
    'null lock failed: the null driver keeps nothing, so that locks and limits have no effect. Use another driver, for ' +
    'example memory.'
  return new CacheError('ERR_CACHE_UNSUPPORTED', message, { store: nullDriver, operation: 'lock' })
}
