import type { InvalidationListener } from './bus.ts'

/** The listeners of an invalidation bus, for its implementation. */
export class BusListeners {
  readonly #registrations = new Set<{ readonly listener: InvalidationListener }>()

  /** Returns a function that removes the listener. The same function may be added several times. */
  add(listener: InvalidationListener): () => void {
    const registration = { listener }
    this.#registrations.add(registration)
    return () => void this.#registrations.delete(registration)
  }

  /** Passes changed keys to all listeners; `undefined` if any key may have changed. */
  notify(keys: readonly string[] | undefined): void {
    for (const { listener } of this.#registrations) {
      try {
        listener(keys)
      } catch (cause) {
        const { inspect } = process.getBuiltinModule('node:util')
        const detail = inspect(cause)
        process.emitWarning('A listener of an invalidation bus threw an error.', { detail })
      }
    }
  }

  clear(): void {
    this.#registrations.clear()
  }
}

/** Collects the keys that are published in one tick, so that a bus sends them as one message. */
export class PublishBatches {
  readonly #send: (keys: readonly string[]) => Promise<void>
  #keys = new Set<string>()
  #sent: Promise<void> | undefined

  constructor(send: (keys: readonly string[]) => Promise<void>) {
    this.#send = send
  }

  /** Settles as `send` does for the keys of this tick. */
  add(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#keys.add(key)
    this.#sent ??= new Promise<void>((resolve) => process.nextTick(resolve)).then(() => {
      const collected = [...this.#keys]
      this.#keys = new Set()
      this.#sent = undefined
      return this.#send(collected)
    })
    return this.#sent
  }

  /** Resolves when the keys of this tick have been sent, or could not be. */
  async settled(): Promise<void> {
    await this.#sent?.catch(() => {})
  }
}
