import { type Awaitable, CacheError, type CacheStore, type Clock, systemClock } from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'

/** One operation, or several. */
export type Operations = StoreOperation | readonly StoreOperation[]

export interface FaultOptions {
  /** Number of calls that the fault affects. @default Infinity */
  readonly times?: number
  /** Number of matching calls that succeed before the fault begins. @default 0 */
  readonly skip?: number
}

export interface FailureOptions extends FaultOptions {
  /** Reason that the call rejects with. @default a `CacheError` with the code `ERR_CACHE_UNAVAILABLE` */
  readonly error?: unknown
}

type Effect =
  | { readonly kind: 'fail' | 'loseReply'; readonly error: unknown }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'hang' }

interface Fault {
  /** `undefined` stands for all operations except `close`. */
  readonly operations: readonly StoreOperation[] | undefined
  readonly effect: Effect
  /** Calls that still succeed before the fault begins. */
  skip: number
  /** Calls that the fault still affects. */
  times: number
}

interface CallSite {
  readonly store: string
  readonly operation: StoreOperation
}

/**
 * The faults of a store that `withChaos` wraps. A test adds them while it runs. Nothing is random: a fault
 * affects the next calls of its operations. Delays add up. When several failures or hangs match a call, only the
 * oldest one takes effect.
 *
 * @example
 * const chaos = new Chaos()
 * const flaky = new Cache(withChaos(memory(), chaos))
 * chaos.fail('get', { times: 1 })
 * await flaky.get('a').catch((error) => console.log(error.code)) // ERR_CACHE_UNAVAILABLE
 * console.log(await flaky.get('a')) // undefined
 */
export class Chaos {
  #faults: Fault[] = []
  #heldCalls: (() => void)[] = []
  readonly #callCounts = new Map<StoreOperation, number>()
  readonly #clock: Clock

  /** @param clock clock that delays sleep on, by default the system clock */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** Fails calls of these operations. They do not reach the store. */
  fail(operations: Operations, options: FailureOptions = {}): void {
    this.#add(operations, { kind: 'fail', error: options.error }, options)
  }

  /** Fails calls of every operation except `close`, as if the backend were unreachable. */
  failAll(options: FailureOptions = {}): void {
    this.#add(undefined, { kind: 'fail', error: options.error }, options)
  }

  /** Executes calls of these operations and fails them, as if the connection were lost before the reply. */
  loseReply(operations: Operations, options: FailureOptions = {}): void {
    this.#add(operations, { kind: 'loseReply', error: options.error }, options)
  }

  /** Delays calls of these operations, by default of all except `close`, by `ms` milliseconds. */
  delay(ms: number, operations?: Operations, options: FaultOptions = {}): void {
    this.#add(operations, { kind: 'delay', ms }, options)
  }

  /** Holds calls of these operations until `reset()`, then executes them. */
  hang(operations: Operations, options: FaultOptions = {}): void {
    this.#add(operations, { kind: 'hang' }, options)
  }

  /** Removes all faults, and executes the calls that hang. */
  reset(): void {
    this.#faults = []
    for (const resume of this.#heldCalls.splice(0)) resume()
  }

  /** Number of calls of the operation so far, failed ones included. */
  callCount(operation: StoreOperation): number {
    return this.#callCounts.get(operation) ?? 0
  }

  /** Counts a call and applies the faults that match it. `withChaos` passes every call to this method. */
  intercept<T>(store: string, operation: StoreOperation, call: () => Awaitable<T>): Awaitable<T> {
    this.#callCounts.set(operation, this.callCount(operation) + 1)
    const effects = this.#takeEffects(operation)
    // Without a fault the result stays synchronous if the store's is.
    return effects.length === 0 ? call() : this.#apply(effects, call, { store, operation })
  }

  /** The effects on the next call of the operation. Counts that call against `skip` and `times`. */
  #takeEffects(operation: StoreOperation): readonly Effect[] {
    const due = this.#faults.filter((fault) => affects(fault, operation) && fault.skip-- <= 0)
    const delays = due.filter(({ effect }) => effect.kind === 'delay')
    const failure = due.find(({ effect }) => effect.kind !== 'delay')
    const applied = failure === undefined ? delays : [...delays, failure]
    for (const fault of applied) fault.times--
    return applied.map(({ effect }) => effect)
  }

  async #apply<T>(
    effects: readonly Effect[],
    call: () => Awaitable<T>,
    site: CallSite,
  ): Promise<T> {
    for (const effect of effects) {
      if (effect.kind === 'delay') await this.#clock.sleep(effect.ms)
      else if (effect.kind === 'hang')
        await new Promise<void>((resume) => this.#heldCalls.push(resume))
      else {
        if (effect.kind === 'loseReply') await call()
        throw effect.error ?? unreachable(site)
      }
    }
    return call()
  }

  #add(operations: Operations | undefined, effect: Effect, options: FaultOptions): void {
    const { times = Infinity, skip = 0 } = options
    const list = typeof operations === 'string' ? [operations] : operations
    this.#faults.push({ operations: list, effect, skip, times })
  }
}

function affects({ operations, times }: Fault, operation: StoreOperation): boolean {
  if (times <= 0) return false
  // A test closes the store at its end: a fault of all operations must not fail that.
  return operations === undefined ? operation !== 'close' : operations.includes(operation)
}

/**
 * Wraps a store so that `chaos` can delay, hold and fail its calls. Each page of a scan is a call of `scan`.
 *
 * @example
 * const chaos = new Chaos()
 * const flaky = new Cache(withChaos(memory(), chaos))
 * chaos.loseReply('increment', { times: 1 })
 * await flaky.increment('n').catch((error) => console.log(error.code)) // ERR_CACHE_UNAVAILABLE
 * console.log(await flaky.increment('n')) // 2
 */
export function withChaos<S extends CacheStore>(store: S, chaos: Chaos): S {
  return wrapStore(store, (operation, call) => chaos.intercept(store.name, operation, call))
}

function unreachable({ store, operation }: CallSite): CacheError {
  const message = `${store} ${operation} failed: the store is unreachable (chaos).`
  return new CacheError('ERR_CACHE_UNAVAILABLE', message, { store, operation })
}
