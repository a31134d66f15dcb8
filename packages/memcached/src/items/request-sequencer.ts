/** A call of one request, a call that must be the only one for its key, or a call that others of its kind may overtake. */
type Kind = 'single' | 'exclusive' | 'shared'

/** The last calls for a key. All of them are of one kind. */
interface Tail {
  readonly kind: Kind
  /** What these calls wait for. */
  readonly before: Promise<unknown> | undefined
  readonly settled: Promise<unknown>
}

/**
 * Keeps the order of the calls for a key while calls of several requests are in flight, which later calls would
 * overtake. Calls of one request need no order among themselves: a connection sends them in the order of the calls.
 */
export class RequestSequencer {
  readonly #tails = new Map<string, Tail>()

  /** Whether no key has a call of several requests in flight. */
  get isIdle(): boolean {
    return this.#tails.size === 0
  }

  /** Resolves when no call of several requests is in flight, nor any that waits for one. */
  async idle(): Promise<void> {
    while (!this.isIdle) await Promise.all(Array.from(this.#tails.values(), (tail) => tail.settled))
  }

  /** Makes a call of one request: after the calls of several requests that came before. */
  after<T>(key: string, call: () => Promise<T>): Promise<T> {
    return this.#tails.has(key) ? this.#run(key, 'single', call) : call()
  }

  /** Makes a call of several requests, one at a time. */
  exclusive<T>(key: string, call: () => Promise<T>): Promise<T> {
    return this.#run(key, 'exclusive', call)
  }

  /** Makes a call of several requests, several of which may be in flight. */
  shared<T>(key: string, call: () => Promise<T>): Promise<T> {
    return this.#run(key, 'shared', call)
  }

  /** Makes a call that concerns several keys. */
  afterAll<T>(keys: Iterable<string>, call: () => Promise<T>): Promise<T> {
    const busyKeys: string[] = []
    if (!this.isIdle) for (const key of keys) if (this.#tails.has(key)) busyKeys.push(key)
    if (busyKeys.length === 0) return call()
    const result = Promise.all(busyKeys.map((key) => this.#tails.get(key)?.settled)).then(call)
    this.#hold(busyKeys, result)
    return result
  }

  /** Makes a call that concerns several keys, and consists of several requests for some of them. */
  exclusiveAll<T>(
    keys: Iterable<string>,
    keysOfSeveral: Iterable<string>,
    call: () => Promise<T>,
  ): Promise<T> {
    const result = this.afterAll(keys, call)
    this.#hold(keysOfSeveral, result)
    return result
  }

  /** Makes a call after all other calls that are in flight. */
  afterEverything<T>(call: () => Promise<T>): Promise<T> {
    return this.afterAll([...this.#tails.keys()], call)
  }

  #run<T>(key: string, kind: Kind, call: () => Promise<T>): Promise<T> {
    const tail = this.#tails.get(key)
    const joins = tail?.kind === kind && kind !== 'exclusive'
    const before = joins ? tail.before : tail?.settled
    const result = before === undefined ? call() : before.then(call)
    const own = result.then(ignore, ignore)
    this.#append(key, { kind, before, settled: joins ? Promise.all([tail.settled, own]) : own })
    return result
  }

  /** Makes later calls for the keys wait for `result`. */
  #hold(keys: Iterable<string>, result: Promise<unknown>): void {
    const settled = result.then(ignore, ignore)
    for (const key of keys) this.#append(key, { kind: 'exclusive', before: undefined, settled })
  }

  #append(key: string, tail: Tail): void {
    this.#tails.set(key, tail)
    tail.settled.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
  }
}

function ignore(): void {}
