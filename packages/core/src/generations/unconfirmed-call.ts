import type { Awaitable } from '../store.ts'

/**
 * What a call does. A read may be repeated at any time, and so may a change of an item that exists. A write stores an item, and
 * must not be repeated behind a later clear. An `add` must be confirmed as well.
 */
export type CallKind = 'read' | 'changeExisting' | 'write' | 'add'

/** A call of a store, for keys that begin with `keyPrefix`. */
export type PrefixedCall<T> = (keyPrefix: string) => Awaitable<T>

/** A call in flight that is repeated if an id in its keys has changed. */
export class UnconfirmedCall<T> {
  /** The result for the last prefixes with which the call was sent. */
  result!: Promise<T>
  readonly #kind: CallKind
  readonly #call: PrefixedCall<T>
  readonly #prefixes: string[]
  readonly #clearsBefore: number

  /**
   * @param prefixes what each generation adds to the keys, the outermost first
   * @param clearsBefore how many clears this process had begun when the call was made
   */
  constructor(kind: CallKind, call: PrefixedCall<T>, prefixes: string[], clearsBefore: number) {
    this.#kind = kind
    this.#call = call
    this.#prefixes = prefixes
    this.#clearsBefore = clearsBefore
    this.#send()
  }

  /** Whether it is a write that was made before the clear of this number. It must not be repeated after that. */
  isWriteBefore(clear: number): boolean {
    return (this.#kind === 'write' || this.#kind === 'add') && this.#clearsBefore < clear
  }

  /** Sends the call again, with a new prefix of the generation at this depth. */
  repeat(depth: number, prefix: string): void {
    this.#prefixes[depth] = prefix
    this.#send()
  }

  #send(): void {
    this.result = attempt(this.#call, this.#prefixes.join(''))
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
