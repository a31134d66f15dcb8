import {
  type Awaitable,
  CacheError,
  type CacheStore,
  type Clock,
  type StoreOperation,
  systemClock,
  wrapStore,
} from '@stowage/core'

/** One operation, or several. */
export type Operations = StoreOperation | readonly StoreOperation[]

export interface Occurrence {
  /** How many calls are hit, then the trouble is over. @default Infinity */
  readonly times?: number
  /** How many calls pass unharmed before. @default 0 */
  readonly skip?: number
}

export interface Failure extends Occurrence {
  /** What the call rejects with. @default a CacheError `ERR_CACHE_UNAVAILABLE` */
  readonly error?: unknown
}

type Effect =
  | { readonly kind: 'fail' | 'loseReply'; readonly error: unknown }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'hang' }

interface Trouble {
  readonly on: readonly StoreOperation[] | undefined
  readonly effect: Effect
  skip: number
  times: number
}

interface Place {
  readonly store: string
  readonly operation: StoreOperation
}

/**
 * What goes wrong in a store under `withChaos`; to be changed while the test runs. Nothing is random:
 * troubles hit the calls they name, in the order of the calls. Delays add up; of failures and hangs the
 * oldest that still has calls to hit is the one that happens.
 */
export class Chaos {
  #troubles: Trouble[] = []
  #hanging: (() => void)[] = []
  readonly #counts = new Map<StoreOperation, number>()
  readonly #clock: Clock

  /** @param clock what delays are slept on, the system's by default */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** Calls of these operations fail, and nothing is done. */
  fail(on: Operations, failure: Failure = {}): void {
    this.#begin(on, { kind: 'fail', error: failure.error }, failure)
  }

  /** Every call fails, as when the backend is down. Closing still works. */
  failAll(failure: Failure = {}): void {
    this.#begin(undefined, { kind: 'fail', error: failure.error }, failure)
  }

  /** Calls of these operations are carried out and fail all the same: the connection was lost before the answer. */
  loseReply(on: Operations, failure: Failure = {}): void {
    this.#begin(on, { kind: 'loseReply', error: failure.error }, failure)
  }

  /** Calls, of these operations or all but `close`, take `ms` longer. */
  delay(ms: number, on?: Operations, occurrence: Occurrence = {}): void {
    this.#begin(on, { kind: 'delay', ms }, occurrence)
  }

  /** Calls of these operations wait until `reset()`, and are carried out then. */
  hang(on: Operations, occurrence: Occurrence = {}): void {
    this.#begin(on, { kind: 'hang' }, occurrence)
  }

  /** Ends every trouble; calls that hang go on. */
  reset(): void {
    this.#troubles = []
    for (const release of this.#hanging.splice(0)) release()
  }

  /** How many calls of the operation the store has got, harmed or not. */
  calls(operation: StoreOperation): number {
    return this.#counts.get(operation) ?? 0
  }

  /** What `withChaos` does with a call: counts it, and carries it out as far as the troubles let it. */
  around<T>(store: string, operation: StoreOperation, call: () => Awaitable<T>): Awaitable<T> {
    this.#counts.set(operation, this.calls(operation) + 1)
    const effects = this.#due(operation)
    // A calm store answers as it would without chaos, at once if it can.
    return effects.length === 0 ? call() : this.#suffer(effects, call, { store, operation })
  }

  /** The effects that happen to the next call, used up by it. */
  #due(operation: StoreOperation): readonly Effect[] {
    const due = this.#troubles.filter((each) => concerns(each, operation) && each.skip-- <= 0)
    const delays = due.filter(({ effect }) => effect.kind === 'delay')
    const worst = due.find(({ effect }) => effect.kind !== 'delay')
    const happening = worst === undefined ? delays : [...delays, worst]
    for (const trouble of happening) trouble.times--
    return happening.map(({ effect }) => effect)
  }

  async #suffer<T>(effects: readonly Effect[], call: () => Awaitable<T>, at: Place): Promise<T> {
    for (const effect of effects) {
      if (effect.kind === 'delay') await this.#clock.sleep(effect.ms)
      else if (effect.kind === 'hang') await new Promise<void>((go) => this.#hanging.push(go))
      else {
        if (effect.kind === 'loseReply') await call()
        throw effect.error ?? unreachable(at)
      }
    }
    return call()
  }

  #begin(on: Operations | undefined, effect: Effect, occurrence: Occurrence): void {
    const { times = Infinity, skip = 0 } = occurrence
    this.#troubles.push({ on: typeof on === 'string' ? [on] : on, effect, skip, times })
  }
}

function concerns({ on, times }: Trouble, operation: StoreOperation): boolean {
  // Closing ends a test; it takes no part in a trouble of all operations.
  return times > 0 && (on === undefined ? operation !== 'close' : on.includes(operation))
}

/**
 * A store in which things go wrong when `chaos` says so; each page of a scan is a call of `scan`.
 *
 *     const chaos = new Chaos()
 *     const store = withChaos(memory(), chaos)
 *     chaos.fail('get', { times: 2 })
 */
export function withChaos<S extends CacheStore>(store: S, chaos: Chaos): S {
  return wrapStore(store, (operation, call) => chaos.around(store.name, operation, call))
}

function unreachable({ store, operation }: Place): CacheError {
  const message = `The ${store} store is unreachable (chaos).`
  return new CacheError('ERR_CACHE_UNAVAILABLE', message, { store, operation })
}
