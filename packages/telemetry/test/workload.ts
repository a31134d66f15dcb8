import { Cache, type CacheStore } from '@stowage/core'
import { Chaos, withChaos } from '@stowage/testing'

/** What a workload has done, as its caller sees it. */
export interface Model {
  readonly results: { hit: number; miss: number; stale: number; shared: number; error: number }
  readonly calls: Map<string, number>
  writes: number
  deletes: number
  readonly loads: { ok: number; error: number }
  /** Failures by their code. */
  readonly errors: Map<string, number>
}

/** A generator of numbers from 0 to 1: mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** As many callers at the same time, each with keys of its own. */
const callers = 16

/**
 * Makes random calls, some of which meet a fault of the store, and returns what their callers have seen. A caller makes
 * most of its calls one after another, so that it is known what each must count as.
 */
export async function runWorkload(
  store: CacheStore,
  count: number,
  random: () => number,
): Promise<Model> {
  const model: Model = {
    results: { hit: 0, miss: 0, stale: 0, shared: 0, error: 0 },
    calls: new Map(),
    writes: 0,
    deletes: 0,
    loads: { ok: 0, error: 0 },
    errors: new Map(),
  }
  const runCaller = async (_: unknown, caller: number) => {
    const chaos = new Chaos()
    const prefix = `w${caller}:`
    const cache = new Cache(withChaos(store, chaos), { name: 'pages', prefix, ttl: '1h' })
    const workload = new Workload(model, cache, chaos, random)
    while (workload.count < count / callers) await workload.step()
    await cache.clear()
    workload.called('clear')
  }
  await Promise.all(Array.from({ length: callers }, runCaller))
  return model
}

class Workload {
  readonly model: Model
  count = 0
  readonly #cache: Cache
  readonly #chaos: Chaos
  readonly #random: () => number
  #fresh = 0

  constructor(model: Model, cache: Cache, chaos: Chaos, random: () => number) {
    this.model = model
    this.#cache = cache
    this.#chaos = chaos
    this.#random = random
  }

  called(operation: string): void {
    this.count++
    this.model.calls.set(operation, (this.model.calls.get(operation) ?? 0) + 1)
  }

  async step(): Promise<void> {
    const steps = [
      this.#get,
      this.#get,
      this.#getMany,
      this.#set,
      this.#set,
      this.#setMany,
      this.#delete,
      this.#deleteMany,
      this.#pull,
      this.#remember,
      this.#remember,
      this.#rememberMany,
      this.#shared,
      this.#failedLoad,
      this.#increment,
    ]
    await steps[Math.floor(this.#random() * steps.length)]?.call(this)
  }

  async #get(): Promise<void> {
    const { results } = this.model
    await this.#call('get', 'get', async () => {
      const value = await this.#cache.get(this.#key())
      results[value === undefined ? 'miss' : 'hit']++
    }).catch(() => results.error++)
  }

  async #getMany(): Promise<void> {
    const { results } = this.model
    const keys = this.#keys()
    await this.#call('getMany', 'getMany', async () => {
      for (const value of await this.#cache.getMany(keys))
        results[value === undefined ? 'miss' : 'hit']++
    }).catch(() => {
      results.error += keys.length
    })
  }

  async #set(): Promise<void> {
    await this.#call('set', 'set', () => this.#cache.set(this.#key(), 1)).then(
      () => this.model.writes++,
      ignore,
    )
  }

  async #setMany(): Promise<void> {
    const entries = new Map(this.#keys().map((key) => [key, 1]))
    await this.#call('setMany', 'setMany', () => this.#cache.setMany(entries)).then(() => {
      this.model.writes += entries.size
    }, ignore)
  }

  async #increment(): Promise<void> {
    await this.#call('increment', 'increment', () => this.#cache.increment('counter')).then(
      () => this.model.writes++,
      ignore,
    )
  }

  async #delete(): Promise<void> {
    await this.#call('delete', 'delete', () => this.#cache.delete(this.#key())).then(
      () => this.model.deletes++,
      ignore,
    )
  }

  async #deleteMany(): Promise<void> {
    const keys = this.#keys()
    await this.#call('deleteMany', 'deleteMany', () => this.#cache.deleteMany(keys)).then(() => {
      this.model.deletes += keys.length
    }, ignore)
  }

  async #pull(): Promise<void> {
    const { results } = this.model
    await this.#call('pull', undefined, async () => {
      results[(await this.#cache.pull(this.#key())) === undefined ? 'miss' : 'hit']++
      this.model.deletes++
    })
  }

  /** A failed read does not fail the call. The failure is counted, and the value loaded. */
  async #remember(): Promise<void> {
    let isLoaded = false
    await this.#call('remember', 'get', async () => {
      await this.#cache.remember(this.#key(), {}, () => {
        isLoaded = true
        this.model.loads.ok++
        return 1
      })
    })
    this.model.results[isLoaded ? 'miss' : 'hit']++
  }

  async #rememberMany(): Promise<void> {
    const keys = this.#keys()
    let missing = 0
    await this.#call('rememberMany', undefined, () =>
      this.#cache.rememberMany(keys, {}, (names) => {
        missing += names.length
        this.model.loads.ok++
        return names.map(() => 1)
      }),
    )
    this.model.results.miss += missing
    this.model.results.hit += keys.length - missing
  }

  /** Calls for one missing key at the same time: one loads, the others share its value. */
  async #shared(): Promise<void> {
    const key = `fresh:${this.#fresh++}`
    const callers = 2 + Math.floor(this.#random() * 6)
    const load = () => {
      this.model.loads.ok++
      return new Promise((resolve) => setImmediate(resolve, 1))
    }
    const calls = Array.from({ length: callers }, () => {
      this.called('remember')
      return this.#cache.remember(key, {}, load)
    })
    await Promise.all(calls)
    this.model.results.miss++
    this.model.results.shared += callers - 1
  }

  async #failedLoad(): Promise<void> {
    const key = `fresh:${this.#fresh++}`
    await this.#call('remember', undefined, () =>
      this.#cache.remember(key, { backoff: 0 }, () => {
        this.model.loads.error++
        throw new Error('the loader has failed')
      }),
    ).catch(() => {
      this.model.results.error++
      this.#failed('other')
    })
  }

  /** Makes a call. Sometimes a fault is added that it meets. */
  async #call<T>(
    operation: string,
    faulty:
      | 'get'
      | 'getMany'
      | 'set'
      | 'setMany'
      | 'increment'
      | 'delete'
      | 'deleteMany'
      | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    this.called(operation)
    if (faulty === undefined || this.#random() > 0.05) return call()
    const calls = this.#chaos.callCount(faulty)
    this.#chaos.fail(faulty, { times: 1 })
    try {
      return await call()
    } finally {
      // With a second one, the cache has refreshed the id of its generation first: that read failed, which it tolerates.
      if (this.#chaos.callCount(faulty) === calls + 1) this.#failed('ERR_CACHE_UNAVAILABLE')
      this.#chaos.reset()
    }
  }

  #failed(code: string): void {
    this.model.errors.set(code, (this.model.errors.get(code) ?? 0) + 1)
  }

  #key(): string {
    return `key:${Math.floor(this.#random() * 50)}`
  }

  #keys(): string[] {
    const length = 1 + Math.floor(this.#random() * 5)
    return [...new Set(Array.from({ length }, () => this.#key()))]
  }
}

function ignore(): void {}
