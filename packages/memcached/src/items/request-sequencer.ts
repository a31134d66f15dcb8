/** A call of one request, a call that must be the only one for its key, or a call that others of its kind may overtake. */
type Kind = 'single' | 'exclusive' | 'shared'

/** The last calls for a key. All of them are of one kind. */
interface Tail {
  readonly kind: Kind
  /** What these calls wait for. */
  readonly before: Promise<unknown> | undefined
  readonly settled: Promise<unknown>
}

/** Stands for every key. No key is empty. */
const everyKey = ''

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
    return this.#tailOf(key) === undefined ? call() : this.#run(key, 'single', call)
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
  afterAll<T>(keys: readonly string[], call: () => Promise<T>): Promise<T> {
    if (this.isIdle) return call()
    const tails = keys.map((key) => this.#tailOf(key)).filter((tail) => tail !== undefined)
    if (tails.length === 0) return call()
    const result = Promise.all(tails.map((tail) => tail.settled)).then(call)
    // Of all keys: the call that waits for some of them is sent later for the others, too.
    this.#hold(keys, result)
    return result
  }

  /** Makes a call that concerns several keys, and consists of several requests for some of them. */
  exclusiveAll<T>(
    keys: readonly string[],
    keysOfSeveral: readonly string[],
    call: () => Promise<T>,
  ): Promise<T> {
    const result = this.afterAll(keys, call)
    this.#hold(keysOfSeveral, result)
    return result
  }

  /** Makes a call that concerns every key, and consists of several requests. */
  exclusiveForEveryKey<T>(call: () => Promise<T>): Promise<T> {
    return this.exclusiveAll([...this.#tails.keys()], [everyKey], call)
  }

  #tailOf(key: string): Tail | undefined {
    return this.#tails.get(key) ?? this.#tails.get(everyKey)
  }

  #run<T>(key: string, kind: Kind, call: () => Promise<T>): Promise<T> {
    const tail = this.#tailOf(key)
    const joins = tail?.kind === kind && kind !== 'exclusive'
    const before = joins ? tail.before : tail?.settled
    const result = before === undefined ? call() : before.then(call)
    const own = result.then(ignore, ignore)
    this.#append(key, { kind, before, settled: joins ? Promise.all([tail.settled, own]) : own })
    return result
  }

  /** Makes later calls for the keys wait for `result`. */
  #hold(keys: readonly string[], result: Promise<unknown>): void {
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
