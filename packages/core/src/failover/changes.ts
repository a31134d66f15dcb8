import { isGenerationKey } from '../generations/id-copies.ts'
import type { Awaitable } from '../store.ts'
import { resultOf } from '../wrappers/batch-error.ts'
import type { Fallback } from './fallback/fallback.ts'
import { isRefusal } from './recovery/outage-error.ts'
import type { Recovery } from './recovery/recovery.ts'

/** A call of one of the stores. */
export type StoreCall<T> = () => Awaitable<T>

/** Makes calls that change one key, in the stores that the phase of the recovery requires. */
export class Changes {
  readonly #recovery: Recovery
  readonly #fallback: Fallback

  constructor(recovery: Recovery, fallback: Fallback) {
    this.#recovery = recovery
    this.#fallback = fallback
  }

  /** Makes a call of the primary store. A synchronous result is returned as such. */
  call<T>(call: StoreCall<T>, recover: (error: unknown) => Awaitable<T>): Awaitable<T> {
    const { rate } = this.#recovery
    let result: Awaitable<T>
    try {
      result = call()
    } catch (error) {
      return recover(error)
    }
    return result instanceof Promise ? result.then(rate.succeed, recover) : rate.succeed(result)
  }

  /** A call that can be repeated: `set` or `delete`. */
  repeatable<T>(key: string, onPrimary: StoreCall<T>, onFallback: StoreCall<T>): Awaitable<T> {
    if (this.#recovery.phase === 'fallback') this.#recovery.noteChange(key)
    this.#recovery.noteWrite(key)
    const noteFailure = (error: unknown) => this.#recovery.noteFailedChange([key], error)
    return this.#repeat(key, onPrimary, onFallback, noteFailure)
  }

  /** `touch` can be repeated as well, and a failure has changed no value. */
  touch(
    key: string,
    onPrimary: StoreCall<boolean>,
    onFallback: StoreCall<boolean>,
  ): Awaitable<boolean> {
    return this.#repeat(key, onPrimary, onFallback, (error) => this.#recovery.noteFailure(error))
  }

  /** Makes a call in the store that is used, or in both. */
  #repeat<T>(
    key: string,
    onPrimary: StoreCall<T>,
    onFallback: StoreCall<T>,
    noteFailure: (error: unknown) => void,
  ): Awaitable<T> {
    const { phase } = this.#recovery
    if (phase === 'fallback') return onFallback()
    if (phase !== 'primary' && (this.#recovery.isMirrored || this.#recovery.readsFallback(key))) {
      return this.#inBoth(key, onPrimary, onFallback, noteFailure)
    }
    return this.call(onPrimary, (error) => {
      noteFailure(error)
      return onFallback()
    })
  }

  /**
   * A call that must not be repeated, because it may have been executed.
   *
   * @param mirror makes the same change in the fallback store, when the primary one has made it
   */
  once<T>(
    key: string,
    onPrimary: StoreCall<T>,
    onFallback: StoreCall<T>,
    mirror: StoreCall<unknown>,
  ): Awaitable<T> {
    const { phase } = this.#recovery
    this.#recovery.noteWrite(key)
    if (phase === 'fallback') return this.#onceInFallback(key, onFallback)
    if (phase !== 'primary' && this.#recovery.readsFallback(key))
      return this.#settled(key, onFallback)
    const result = this.call(onPrimary, (error) => this.#afterFailure(key, error, onFallback))
    if (phase === 'primary') return result
    return this.#mirrored(result, mirror)
  }

  /** The result is that of the store which is read. */
  async #inBoth<T>(
    key: string,
    onPrimary: StoreCall<T>,
    onFallback: StoreCall<T>,
    noteFailure: (error: unknown) => void,
  ): Promise<T> {
    const { endings } = this.#fallback
    const [primary, fallback] = await Promise.allSettled([attempt(onPrimary), attempt(onFallback)])
    if (primary.status === 'rejected') {
      noteFailure(primary.reason)
      // The outage may have ended since, and its items are out of reach.
      return this.#fallback.endings === endings ? resultOf(fallback) : onFallback()
    }
    this.#recovery.rate.succeed(undefined)
    const isFromFallback = fallback.status === 'fulfilled' && this.#recovery.readsFallback(key)
    return isFromFallback ? fallback.value : primary.value
  }

  async #onceInFallback<T>(key: string, onFallback: StoreCall<T>): Promise<T> {
    const result = await onFallback()
    if (result !== false) this.#recovery.noteChange(key)
    return result
  }

  /** Makes the change in the fallback store, which is read, and deletes the item of the primary one. */
  async #settled<T>(key: string, onFallback: StoreCall<T>): Promise<T> {
    const result = await onFallback()
    if (result !== false) await this.#recovery.settle(key)
    return result
  }

  async #mirrored<T>(result: Awaitable<T>, mirror: StoreCall<unknown>): Promise<T> {
    const value = await result
    if (value !== false && this.#recovery.isMirrored) await attempt(mirror).catch(ignore)
    return value
  }

  async #afterFailure<T>(key: string, error: unknown, onFallback: StoreCall<T>): Promise<T> {
    const mayBeOutdated = isRefusal(error) || !isGenerationKey(key)
    if (mayBeOutdated) this.#recovery.noteFailedChange([key], error)
    else this.#recovery.noteFailure(error)
    if (isRefusal(error)) return onFallback()
    if (!mayBeOutdated) throw error
    // Whether the item of the fallback store is still the current one is not known either.
    await attempt(() => this.#fallback.delete(key)).catch(ignore)
    throw error
  }
}

/** Makes a call that may also throw. */
export async function attempt<T>(call: StoreCall<T>): Promise<T> {
  return call()
}

function ignore(): void {}
