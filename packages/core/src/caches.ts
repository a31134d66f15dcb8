import { Cache, type CacheOptions } from './cache.ts'
import { CacheError } from './errors.ts'
import type { CacheStore } from './store.ts'
import { type Clock, systemClock } from './time/clock.ts'
import { type Duration, milliseconds } from './time/duration.ts'
import { Lifecycle } from './time/lifecycle.ts'

/** A store and how its cache uses it. */
export interface CacheDefinition extends Omit<CacheOptions, 'name'> {
  /** Called once, when the cache is first used. */
  readonly store: () => CacheStore
}

export interface CachesOptions<Name extends string> {
  /** The cache that `use()` gives. */
  readonly default: NoInfer<Name>
  readonly stores: Readonly<Record<Name, CacheDefinition | (() => CacheStore)>>
  /** @default systemClock */
  readonly clock?: Clock
}

/** How a cache's backend answered a ping. */
export interface Health {
  /** Name of the driver; `'unknown'` when the store could not even be made. */
  readonly driver: string
  readonly ok: boolean
  /** How long the answer took, in milliseconds. */
  readonly latencyMs: number
  /** Why it is not well. */
  readonly error?: unknown
}

/** Named caches, each made when it is first used. */
export class Caches<Name extends string = string> {
  readonly #options: CachesOptions<Name>
  readonly #made = new Map<Name, Cache>()
  readonly #clock: Clock
  readonly #lifecycle = new Lifecycle('caches')

  constructor(options: CachesOptions<Name>) {
    if (!Object.hasOwn(options.stores, options.default)) throw unknown(options.default, options)
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  get names(): Name[] {
    return Object.keys(this.#options.stores) as Name[]
  }

  /** The cache of that name, or the default one. @throws CacheError `ERR_CACHE_CONFIG` for a name that is not defined */
  use(name: Name = this.#options.default): Cache {
    const made = this.#made.get(name)
    if (made !== undefined) return made
    this.#lifecycle.assertOpen('use')
    const cache = this.#make(name)
    this.#made.set(name, cache)
    return cache
  }

  /** Asks every backend now. Never rejects; use it for a health route. */
  async health(): Promise<Record<Name, Health>> {
    const asked = this.names.map(async (name) => [name, await this.#ask(name)] as const)
    return Object.fromEntries(await Promise.all(asked)) as Record<Name, Health>
  }

  /**
   * Resolves when every backend has answered, asking again every 50 ms; use it at start.
   * @throws CacheError of the first backend that did not answer in time
   */
  async ready({ within = '5s' }: { readonly within?: Duration } = {}): Promise<void> {
    const deadline = this.#clock.now() + milliseconds(within)
    for (;;) {
      const ill = Object.values<Health>(await this.health()).find(({ ok }) => !ok)
      if (ill === undefined) return
      if (this.#clock.now() >= deadline) throw ill.error
      await this.#clock.sleep(50)
    }
  }

  /** Closes what was made, each whether or not another fails. Idempotent; nothing can be made afterwards. */
  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      const closing = [...this.#made.values()].map((cache) => cache.close())
      await Promise.allSettled(closing)
      await Promise.all(closing)
    })
  }

  #make(name: Name): Cache {
    if (!Object.hasOwn(this.#options.stores, name)) throw unknown(name, this.#options)
    const given = this.#options.stores[name]
    const { store, ...options } = typeof given === 'function' ? { store: given } : given
    return new Cache(store(), { clock: this.#clock, ...options, name })
  }

  async #ask(name: Name): Promise<Health> {
    const start = performance.now()
    let driver = 'unknown'
    try {
      const cache = this.use(name)
      driver = cache.driver
      await cache.ping()
      return { driver, ok: true, latencyMs: performance.now() - start }
    } catch (error) {
      return { driver, ok: false, latencyMs: performance.now() - start, error }
    }
  }
}

/** Named caches: `createCaches({ default: 'pages', stores: { pages: () => redis(), hot: () => memory() } })`. */
export function createCaches<Name extends string>(options: CachesOptions<Name>): Caches<Name> {
  return new Caches(options)
}

function unknown(name: string, { stores }: CachesOptions<string>): CacheError {
  return new CacheError(
    'ERR_CACHE_CONFIG',
    `No cache is named "${name}". Defined: ${Object.keys(stores).join(', ')}.`,
  )
}
