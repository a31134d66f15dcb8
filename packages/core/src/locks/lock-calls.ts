import type { InvalidationBus } from '../bus.ts'
import { type Keyspace, reservedName } from '../keys.ts'
import type { ActiveLoads } from '../loading/current-load.ts'
import { checkOptionNames, checkTimeout, warnOfShortTtl } from '../options/check-options.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { Clock } from '../time/clock.ts'
import { randomId } from '../values/random-id.ts'
import { Fences } from './fences.ts'
import type { Lock, LockOptions } from './lock.ts'
import { LockContext } from './lock-context.ts'
import { NamedLock } from './named-lock.ts'

const defaultTtl = '30s'
const optionNames = { ttl: true, owner: true } as const
const example = "lock(name, { ttl: '30s' }).run(work, { wait: '5s' })"

export interface LockCallsOptions {
  readonly root: CacheRoot
  readonly clock: Clock
  /** The prefix of the namespace within the root cache. */
  readonly path: string
  /** Name of the cache, for events. */
  readonly cache: string
  readonly activeLoads: ActiveLoads
  readonly bus: InvalidationBus | undefined
}

/** Creates the locks of a cache. */
export class LockCalls {
  readonly context: LockContext
  readonly #keys: Keyspace
  readonly #fenceKeys: Keyspace
  readonly #path: string

  constructor({ root, clock, path, cache, activeLoads, bus }: LockCallsOptions) {
    const { primaryStore: store, time, clockUncertainty } = root
    this.#keys = root.reservedKeys('lock')
    this.#fenceKeys = root.reservedKeys('fence')
    this.#path = path
    this.context = new LockContext({
      store,
      cache,
      activeLoads,
      bus,
      fences: new Fences(store, time, clock, clockUncertainty),
    })
  }

  lock(name: string, options: LockOptions = {}): Lock {
    checkOptionNames('lock', options, optionNames, example)
    const { ttl = defaultTtl, owner = randomId(12) } = options
    if (typeof owner !== 'string' || owner === '') {
      throw new TypeError('The owner of a lock must be a non-empty string.')
    }
    const id = reservedName(this.#path, name)
    const key = this.#keys.toStorageKey(id)
    warnOfShortTtl('lock: ttl', ttl)
    const lockName = { name, key, queueKey: key, fenceKey: this.#fenceKeys.toStorageKey(id) }
    return new NamedLock(this.context, lockName, owner, checkTimeout('lock: ttl', ttl))
  }
}
