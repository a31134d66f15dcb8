import { Cache } from './cache.ts'
import type { CacheOptions } from './cache-options.ts'
import { answerWithin } from './calls/deadline.ts'
import { Lifecycle } from './calls/in-flight.ts'
import { CacheError } from './errors.ts'
import { checkStores } from './options/check-arguments.ts'
import { configError, mergeOptions, nearestName } from './options/check-options.ts'
import type { CacheStore } from './store.ts'
import { type Clock, systemClock } from './time/clock.ts'
import { type Duration, milliseconds } from './time/duration.ts'

/** A store, and the options of the cache that uses it. */
export interface CacheDefinition extends Omit<CacheOptions, 'name'> {
  /** Creates the store. Called once, on the first use of the cache. */
  readonly store: () => CacheStore
}

export interface CachesOptions<Name extends string> {
  /** Name of the cache that `use()` returns. */
  readonly default: NoInfer<Name>
  readonly stores: Readonly<Record<Name, CacheDefinition | (() => CacheStore)>>
  /** Source of the current time. @default systemClock */
  readonly clock?: Clock
}

/** The result of a ping. */
export interface Health {
  /** Name of the driver; `'unknown'` if the store could not be created. */
  readonly driver: string
  readonly ok: boolean
  /** Duration of the ping, in milliseconds. */
  readonly latencyMs: number
  /** Why the ping failed. */
  readonly error?: unknown
}

export interface StatusOptions<Name extends string> {
  /** How long to wait for each backend, if that is shorter than the deadline of its calls. @default that deadline */
  readonly timeout?: Duration | undefined
  /** The caches that the application cannot work without. @default all */
  readonly required?: readonly Name[]
}

/** The state of an application, for a readiness probe. */
export interface Status<Name extends string> {
  /** `'degraded'`: only caches that are not required do not reply. `'unavailable'`: a required one does not reply. */
  readonly status: 'ok' | 'degraded' | 'unavailable'
  readonly health: Readonly<Record<Name, Health>>
}

/** Named caches, each created on its first use. @see createCaches */
export class Caches<Name extends string = string> {
  readonly #options: CachesOptions<Name>
  readonly #created = new Map<Name, Cache>()
  readonly #clock: Clock
  readonly #lifecycle = new Lifecycle('caches')

  constructor(options: CachesOptions<Name>) {
    checkStores(options?.stores)
    if (!Object.hasOwn(options.stores, options.default))
      throw undefinedName(options.default, options)
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  /** The names of all caches. */
  get names(): Name[] {
    return Object.keys(this.#options.stores) as Name[]
  }

  /**
   * Returns the cache with this name, or the default cache.
   *
   * @throws CacheError `ERR_CACHE_CONFIG` for a name that is not defined
   * @example
   * await caches.use().set('visits', 1)
   * await caches.use('session').delete('session-1')
   */
  use(name: Name = this.#options.default): Cache {
    const created = this.#created.get(name)
    if (created !== undefined) return created
    this.#lifecycle.assertOpen('use')
    const cache = this.#create(name)
    this.#created.set(name, cache)
    return cache
  }

  /**
   * Pings every backend. Never rejects: use it for a health endpoint.
   *
   * @example
   * for (const [name, { ok, latencyMs }] of Object.entries(await caches.health())) {
   *   console.log(name, ok, latencyMs)
   * }
   */
  async health(): Promise<Record<Name, Health>> {
    return this.#pingAll(undefined)
  }

  /**
   * Pings every backend, like {@link health}, and returns whether the application can work: for a readiness probe. While
   * only caches that it does not require are unreachable, as `remember` does not, it is degraded.
   *
   * @throws CacheError `ERR_CACHE_CONFIG` if `required` has a name that is not defined
   * @example
   * const { status } = await caches.status({ required: ['session'] })
   * console.log(status === 'unavailable' ? 503 : 200)
   */
  async status({
    required = this.names,
    timeout,
  }: StatusOptions<Name> = {}): Promise<Status<Name>> {
    this.#assertDefined(required)
    const health = await this.#pingAll(timeout === undefined ? undefined : milliseconds(timeout))
    const isOk = (name: Name) => health[name].ok
    const failed = required.every(isOk) ? 'degraded' : 'unavailable'
    return { status: this.names.every(isOk) ? 'ok' : failed, health }
  }

  /**
   * Waits until every backend replies to a ping, or those of the `required` caches, retrying every 50 ms: use it when the
   * application starts. `within` is the timeout, 5 seconds by default.
   *
   * @throws CacheError of the first unreachable backend, after the timeout
   * @example
   * await caches.ready({ within: '30s' })
   */
  async ready({
    within = '5s',
    required = this.names,
  }: Pick<StatusOptions<Name>, 'required'> & { readonly within?: Duration } = {}): Promise<void> {
    this.#assertDefined(required)
    const deadline = this.#clock.now() + milliseconds(within)
    let reason: unknown
    for (;;) {
      // A store may have no timeout of its own, or a longer one.
      const leftMs = Math.max(1, deadline - this.#clock.now())
      const results = await Promise.all(required.map((name) => this.#ping(name, leftMs)))
      const failed = results.find(({ ok }) => !ok)
      if (failed === undefined) return
      // The last ping had little time, so that its error may not tell the reason.
      if (this.#clock.now() >= deadline) throw reason ?? failed.error
      reason = failed.error
      await this.#clock.sleep(50)
    }
  }

  /**
   * Closes every cache that was created, even if closing another one fails. Idempotent. Caches cannot be created
   * afterwards.
   */
  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      const closing = [...this.#created.values()].map((cache) => cache.close())
      await Promise.allSettled(closing)
      await Promise.all(closing)
    })
  }

  /**
   * The same as `close()`.
   *
   * @example
   * await using local = createCaches({ default: 'pages', stores: { pages: () => memory() } })
   * await local.use().set('home', '<h1>Home</h1>')
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #create(name: Name): Cache {
    this.#assertDefined([name])
    const definition = this.#options.stores[name]
    const { store, ...options } =
      typeof definition === 'function' ? { store: definition } : definition
    return new Cache(store(), { ...mergeOptions({ clock: this.#clock }, options), name })
  }

  #assertDefined(names: readonly Name[]): void {
    const unknown = names.find((name) => !Object.hasOwn(this.#options.stores, name))
    if (unknown !== undefined) throw undefinedName(unknown, this.#options)
  }

  async #pingAll(timeoutMs: number | undefined): Promise<Record<Name, Health>> {
    const results = this.names.map(
      async (name) => [name, await this.#ping(name, timeoutMs)] as const,
    )
    return Object.fromEntries(await Promise.all(results)) as Record<Name, Health>
  }

  async #ping(name: Name, timeoutMs: number | undefined): Promise<Health> {
    const start = performance.now()
    let driver = 'unknown'
    try {
      const cache = this.use(name)
      driver = cache.driver
      const reply = cache.ping()
      if (timeoutMs === undefined) await reply
      else await answerWithin(timeoutMs, reply, () => noReply(driver, timeoutMs))
      return { driver, ok: true, latencyMs: performance.now() - start }
    } catch (error) {
      return { driver, ok: false, latencyMs: performance.now() - start, error }
    }
  }
}

/**
 * Creates named caches. The names are typed, and each store is created on the first use of its cache.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` if the default is not one of the stores
 * @example
 * const named = createCaches({
 *   default: 'pages',
 *   stores: { pages: { store: () => redis(), prefix: 'pages:', ttl: '5m' }, local: () => memory() },
 * })
 * await named.use('local').set('k', 1)
 */
export function createCaches<Name extends string>(options: CachesOptions<Name>): Caches<Name> {
  return new Caches(options)
}

function noReply(store: string, timeoutMs: number): CacheError {
  const message = `${store} ping failed: no reply within ${timeoutMs} ms.`
  return new CacheError('ERR_CACHE_TIMEOUT', message, { store, operation: 'ping' })
}

function undefinedName(name: string | undefined, { stores }: CachesOptions<string>): CacheError {
  const names = Object.keys(stores)
  if (name === undefined) {
    const remedy = `It is the name of a store: ${names.join(', ')}.`
    return configError(`createCaches: the option default is missing. ${remedy}`)
  }
  const similar = nearestName(name, names)
  const question = similar === undefined ? '' : ` Did you mean ${similar}?`
  return configError(`No cache is named "${name}".${question} Defined: ${names.join(', ')}.`)
}
