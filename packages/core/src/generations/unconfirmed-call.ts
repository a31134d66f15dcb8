import type { Awaitable } from '../store.ts'

/**
 * What a call does. A read may be repeated at any time, and so may a change of an item that exists. A write stores an item, and
 * must not be repeated behind a later clear. An `add` must be confirmed as well.
 */
export type CallKind = 'read' | 'change' | 'write' | 'add'

/** A call of a store, for keys that begin with `keyPrefix`. */
export type PrefixedCall<T> = (keyPrefix: string) => Awaitable<T>

/** A call in flight that is repeated if the id of the generation has changed. */
export class UnconfirmedCall<T> {
  /** The result for the last prefix with which the call was sent. */
  result!: Promise<T>
  readonly #kind: CallKind
  readonly #clearsBefore: number
  readonly #call: PrefixedCall<T>

  /** @param clearsBefore how many clears this process had begun when the call was made */
  constructor(kind: CallKind, call: PrefixedCall<T>, keyPrefix: string, clearsBefore: number) {
    this.#kind = kind
    this.#call = call
    this.#clearsBefore = clearsBefore
    this.send(keyPrefix)
  }

  /** Whether it is a write that was made before the clear of this number. It must not be repeated after that. */
  isWriteBefore(clear: number): boolean {
    return (this.#kind === 'write' || this.#kind === 'add') && this.#clearsBefore < clear
  }

  send(keyPrefix: string): void {
    this.result = attempt(this.#call, keyPrefix)
    // It may be replaced, and is awaited later.
    this.result.catch(() => {})
  }
}

/** Makes a call that may also throw. */
function attempt<T>(call: PrefixedCall<T>, keyPrefix: string): Promise<T> {
  try {
    return Promise.resolve(call(keyPrefix))
  } catch (error) {
    return Promise.reject(error)
  }
}
