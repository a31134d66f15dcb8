import type { Awaitable } from '../store.ts'
import type { Duration } from '../time/duration.ts'

export interface LockOptions {
  /**
   * How long the lock is held unless it is renewed or released. It bounds the time for which a process that ended without
   * releasing the lock blocks the others. `run` renews the lock each third of it. @default '30s'
   */
  readonly ttl?: Duration | undefined
  /** Identifies the holder. Pass it on with a job, to release the lock elsewhere. @default a random string per lock */
  readonly owner?: string | undefined
}

export interface WaitOptions {
  /** Ends the wait: the call rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

export interface RunOptions extends WaitOptions {
  /** Maximum time to wait for the lock. @default 0: one attempt */
  readonly wait?: Duration | undefined
}

/** The names of the options, to check those of a call. */
export const runOptionNames = { wait: true, signal: true } as const

/** What the work of {@link Lock.run} receives. */
export interface HeldLock {
  /**
   * Aborts when the lock is lost, before another process can hold it; when the signal of the call aborts; and on
   * `close()`. Pass it on to the calls of the work.
   */
  readonly signal: AbortSignal
  /**
   * Returns a number that is higher than all that earlier holders of the lock have received. Send it with each write, to a
   * resource that rejects lower numbers: this protects it from a holder that was suspended and continues too late.
   *
   * @throws CacheError `ERR_CACHE_LOCKED` if the lock is lost
   */
  fence(): Promise<number>
}

/** A lock that is shared by all processes with the same backend and prefix. */
export interface Lock {
  readonly owner: string
  /** Makes one attempt. Returns whether the lock was acquired. Also false if this object holds it already. */
  acquire(): Promise<boolean>
  /**
   * Waits until the lock is acquired.
   *
   * @param wait the maximum time
   * @throws CacheError `ERR_CACHE_LOCKED` (retryable) if it was not acquired within this time
   */
  block(wait: Duration, options?: WaitOptions): Promise<void>
  /**
   * Runs `work` while it holds the lock, renews the lock while it runs and releases it at the end. Resolves to the result of
   * `work`, even if the lock was lost: then the signal of `work` has aborted.
   *
   * @throws CacheError `ERR_CACHE_LOCKED` (retryable) if the lock was not acquired
   */
  run<T>(work: (held: HeldLock) => Awaitable<T>, options?: RunOptions): Promise<T>
  /** Extends the lock to `ttl` from now. Returns whether it is still held. @param ttl by default that of the lock */
  refresh(ttl?: Duration): Promise<boolean>
  /** Releases the lock if this owner holds it. Returns whether it did. */
  release(): Promise<boolean>
  /** Returns whether any owner holds the lock. */
  isLocked(): Promise<boolean>
  /** Returns whether this owner holds the lock. */
  isOwned(): Promise<boolean>
  /** Releases the lock if this object holds it, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}
