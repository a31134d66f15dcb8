const listeners = new WeakMap<AbortSignal, AbortListener>()

/**
 * Calls `callback` when the signal aborts, until the returned function is called. Any number of calls may wait with one
 * signal: it has one listener for all of them, because Node warns of a leak if there are more than ten.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  let listener = listeners.get(signal)
  if (listener === undefined) {
    listener = new AbortListener(signal)
    listeners.set(signal, listener)
  }
  return listener.add(callback)
}

/** The listener of a signal, and what it calls. */
class AbortListener {
  readonly #signal: AbortSignal
  readonly #callbacks = new Set<() => void>()
  readonly #onAbort = (): void => {
    // A callback may remove others.
    for (const callback of this.#callbacks) callback()
  }

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  add(callback: () => void): () => void {
    // A separate function for each call, even if two pass the same one.
    const own = () => callback()
    if (this.#callbacks.size === 0) this.#signal.addEventListener('abort', this.#onAbort)
    this.#callbacks.add(own)
    return () => this.#remove(own)
  }

  #remove(callback: () => void): void {
    if (!this.#callbacks.delete(callback) || this.#callbacks.size > 0) return
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}
