import { CacheError } from '../errors.ts'
import type { Awaitable, CacheStore, Payload, ReadOptions, StoreLimits } from '../store.ts'
import type { Clock } from '../time/clock.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { toText } from '../values/payload.ts'

/** How long a process may go on with a generation it has read: another one's `clear` is seen within this time. */
const refreshMs = 1_000
const idBytes = 12 // 16 characters of base64url

/**
 * A store within a prefix of a store that cannot list its keys. Every key carries the current generation,
 * a random id kept under a key of its own, and `clear()` replaces the id: O(1), and nothing outside the
 * prefix is touched. The forgotten items are left to their ttl or to eviction.
 *
 * The id lives in one place, and what lies elsewhere must not go with it: a process that knows it goes on with it while
 * it cannot be read, and puts it back where it has been lost with its node or moved off it. Nobody who knows it is
 * left: it is born anew at random, which can only cause misses.
 */
export function withGenerations<S extends CacheStore>(store: S, prefix: string, clock: Clock): S {
  const inner = store as unknown as AnyStore
  return new GenerationStore(inner, prefix, clock) as unknown as S
}

interface Generation {
  readonly id: string
  readonly readAt: number
  /** Whether it could be read then. */
  readonly confirmed: boolean
}

class GenerationStore implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly limits: StoreLimits
  readonly #store: AnyStore
  readonly #prefix: string
  readonly #clock: Clock
  #current: Generation | undefined
  #reading: Promise<string> | undefined
  /** How often this process has cleared: an id read before a clear must not come back after it. */
  #clears = 0

  constructor(store: AnyStore, prefix: string, clock: Clock) {
    this.name = store.name
    this.payload = store.payload
    const taken = Buffer.byteLength(prefix) + `${newId()}:`.length
    this.limits = { ...store.limits, keyBytes: store.limits.keyBytes - taken }
    this.#store = store
    this.#prefix = prefix
    this.#clock = clock
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    return this.#within((at) => this.#store.get(at + key, options))
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    return this.#within((at) =>
      this.#store.getMany(
        keys.map((key) => at + key),
        options,
      ),
    )
  }

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#within((at) => this.#store.set(at + key, item, ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    return this.#within((at) =>
      this.#store.setMany(
        entries.map(([key, item]) => [at + key, item] as const),
        ttl,
      ),
    )
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    return this.#within((at) => this.#store.add(at + key, item, ttl))
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    return this.#within((at) => this.#store.compareAndSet(at + key, expected, next, ttl))
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#within((at) => this.#store.increment(at + key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#within((at) => this.#store.touch(at + key, ttl))
  }

  delete(key: string): Awaitable<boolean> {
    return this.#within((at) => this.#store.delete(at + key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#within((at) => this.#store.deleteMany(keys.map((key) => at + key)))
  }

  async clear(): Promise<void> {
    const id = newId()
    while (!(await this.#replaceId(id))) {
      // Somebody else has cleared in between, or has put the id back.
    }
    this.#clears++
    this.#current = { id, readAt: this.#clock.now(), confirmed: true }
  }

  ping(): Awaitable<void> {
    return this.#store.ping()
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  consistencyToken(): Awaitable<string> {
    return this.#store.consistencyToken?.() ?? ''
  }

  observe(token: string): void {
    this.#store.observe?.(token)
  }

  /** Runs `call` with the current generation's prefix, at once while the id is known. */
  #within<T>(call: (at: string) => Awaitable<T>): Awaitable<T> {
    const current = this.#current
    if (current === undefined) return this.#read().then((id) => call(this.#at(id)))
    if (this.#clock.now() - current.readAt < refreshMs) return call(this.#at(current.id))
    const reading = this.#read()
    // Where it could not be read last time, nobody waits for it to fail again.
    return current.confirmed ? reading.then((id) => call(this.#at(id))) : call(this.#at(current.id))
  }

  #read(): Promise<string> {
    this.#reading ??= this.#readId().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readId(): Promise<string> {
    const clears = this.#clears
    const { id, confirmed } = await this.#findOrKeep()
    const readAt = this.#clock.now()
    if (clears === this.#clears) this.#current = { id, readAt, confirmed }
    return this.#current?.id ?? id
  }

  async #findOrKeep(): Promise<{ id: string; confirmed: boolean }> {
    try {
      return { id: await this.#findOrCreate(), confirmed: true }
    } catch (error) {
      if (this.#current === undefined || !CacheError.is(error)) throw error
      return { id: this.#current.id, confirmed: false }
    }
  }

  /** Only over what was seen: a write that is taken for done while its node is away would not have cleared anything. */
  async #replaceId(id: string): Promise<boolean> {
    const key = this.#idKey()
    const seen = await this.#store.get(key, { consistency: 'strong' })
    return seen === undefined
      ? this.#store.add(key, this.#toItem(id))
      : this.#store.compareAndSet(key, seen, this.#toItem(id))
  }

  async #findOrCreate(): Promise<string> {
    const key = this.#idKey()
    for (;;) {
      // A copy without the newest id would bring back what was cleared.
      const found = await this.#store.get(key, { consistency: 'strong' })
      if (found !== undefined) return this.#toId(found)
      const id = this.#current?.id ?? newId()
      if (await this.#store.add(key, this.#toItem(id))) return id
    }
  }

  #at(id: string): string {
    return `${this.#prefix}${id}:`
  }

  // "~" is no character of an id, so no key of a generation can be this one.
  #idKey(): string {
    return `${this.#prefix}~generation`
  }

  #toItem(id: string): unknown {
    return this.payload === 'entry' ? { value: id } : id
  }

  #toId(item: unknown): string {
    return this.payload === 'entry' ? (item as { value: string }).value : toText(item as Payload)
  }
}

function newId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(idBytes))).toString('base64url')
}
