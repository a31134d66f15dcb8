import type { Awaitable } from '../store.ts'
import { isGenerationKey } from './recovery/generation-key.ts'
import { isRefusal } from './recovery/outage-error.ts'
import type { Recovery } from './recovery/recovery.ts'
import type { Spare } from './spare/spare.ts'

/** A call of one of the stores. */
export type StoreCall<T> = () => Awaitable<T>

/** Makes calls that change one key, in the stores that the phase of the recovery requires. */
export class Changes {
  readonly #recovery: Recovery
  readonly #spare: Spare

  constructor(recovery: Recovery, spare: Spare) {
    this.#recovery = recovery
    this.#spare = spare
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
  repeatable<T>(key: string, onPrimary: StoreCall<T>, onSpare: StoreCall<T>): Awaitable<T> {
    const { phase } = this.#recovery
    if (phase === 'spare') {
      this.#recovery.noteChange(key)
      return onSpare()
    }
    const noteFailure = (error: unknown) => this.#recovery.noteFailedChange([key], error)
    if (phase !== 'primary' && (this.#recovery.isMirrored || this.#recovery.readsSpare(key))) {
      return this.#inBoth(key, onPrimary, onSpare, noteFailure)
    }
    return this.call(onPrimary, (error) => {
      noteFailure(error)
      return onSpare()
    })
  }

  /** `touch` can be repeated as well, and a failure has changed no value. */
  touch(
    key: string,
    onPrimary: StoreCall<boolean>,
    onSpare: StoreCall<boolean>,
  ): Awaitable<boolean> {
    const { phase } = this.#recovery
    if (phase === 'spare') return onSpare()
    const noteFailure = (error: unknown) => this.#recovery.noteFailure(error)
    if (phase !== 'primary' && (this.#recovery.isMirrored || this.#recovery.readsSpare(key))) {
      return this.#inBoth(key, onPrimary, onSpare, noteFailure)
    }
    return this.call(onPrimary, (error) => {
      noteFailure(error)
      return onSpare()
    })
  }

  /**
   * A call that must not be repeated, because it may have been executed.
   *
   * @param mirror makes the same change in the spare store, when the primary one has made it
   */
  once<T>(
    key: string,
    onPrimary: StoreCall<T>,
    onSpare: StoreCall<T>,
    mirror: StoreCall<unknown>,
  ): Awaitable<T> {
    const { phase } = this.#recovery
    if (phase === 'spare') return this.#onceInSpare(key, onSpare)
    if (phase !== 'primary' && this.#recovery.readsSpare(key)) return this.#settled(key, onSpare)
    const result = this.call(onPrimary, (error) => this.#afterFailure(key, error, onSpare))
    if (phase === 'primary') return result
    return this.#mirrored(result, mirror)
  }

  /** The result is that of the store which is read. */
  async #inBoth<T>(
    key: string,
    onPrimary: StoreCall<T>,
    onSpare: StoreCall<T>,
    noteFailure: (error: unknown) => void,
  ): Promise<T> {
    const { endings } = this.#spare
    const [primary, spare] = await Promise.allSettled([attempt(onPrimary), attempt(onSpare)])
    if (primary.status === 'rejected') {
      noteFailure(primary.reason)
      // The outage may have ended since, and its items are out of reach.
      return this.#spare.endings === endings ? resultOf(spare) : onSpare()
    }
    this.#recovery.rate.succeed(undefined)
    const isFromSpare = spare.status === 'fulfilled' && this.#recovery.readsSpare(key)
    return isFromSpare ? spare.value : primary.value
  }

  async #onceInSpare<T>(key: string, onSpare: StoreCall<T>): Promise<T> {
    const result = await onSpare()
    if (result !== false) this.#recovery.noteChange(key)
    return result
  }

  /** Makes the change in the spare store, which is read, and deletes the item of the primary one. */
  async #settled<T>(key: string, onSpare: StoreCall<T>): Promise<T> {
    const result = await onSpare()
    if (result !== false) await this.#recovery.settle(key)
    return result
  }

  async #mirrored<T>(result: Awaitable<T>, mirror: StoreCall<unknown>): Promise<T> {
    const value = await result
    if (value !== false && this.#recovery.isMirrored) await attempt(mirror).catch(ignore)
    return value
  }

  async #afterFailure<T>(key: string, error: unknown, onSpare: StoreCall<T>): Promise<T> {
    const mayBeOutdated = isRefusal(error) || !isGenerationKey(key)
    if (mayBeOutdated) this.#recovery.noteFailedChange([key], error)
    else this.#recovery.noteFailure(error)
    if (isRefusal(error)) return onSpare()
    if (!mayBeOutdated) throw error
    // Whether the item of the spare store is still the current one is not known either.
    await attempt(() => this.#spare.delete(key)).catch(ignore)
    throw error
  }
}

/** Makes a call that may also throw. */
export async function attempt<T>(call: StoreCall<T>): Promise<T> {
  return call()
}

function resultOf<T>(outcome: PromiseSettledResult<T>): T {
  if (outcome.status === 'rejected') throw outcome.reason
  return outcome.value
}

function ignore(): void {}
