import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Cache, type CacheOptions, type CacheStore, type RememberOptions } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { strongRead } from '@stowage/core/internal'
import { Chaos, withChaos } from '../../chaos.ts'
import { settlesWithin } from './assertions.ts'
import type { AnyStore, Fixture } from './fixture.ts'

/** For reads of what another process has written. */
export const strong: typeof strongRead = strongRead
/** Longer than a call that waits for another process takes on a slow machine, so that a defect does not let a case hang. */
export const patience = { timeout: '30s' } as const

/** On a slow machine, a load takes longer than a lease lasts by default, and its value would not be stored. */
const patientLease = { lease: '1m' } as const

/** Within which a refresh begins, in milliseconds. */
const refreshMs = 30_000

/** A cache with state of its own, as each process has. */
export interface CacheProcess {
  readonly cache: Cache
  /** Resolves when the refreshes in the background have ended that have begun so far. */
  refreshed(): Promise<void>
}

/** Returns two processes on the backend of the fixture. Without a second store, both use the first. */
export async function newProcesses(
  fixture: Fixture,
  options: CacheOptions = {},
): Promise<readonly [CacheProcess, CacheProcess]> {
  const second = (await fixture.createSharedStore()) ?? fixture.store
  return [newProcess(fixture, fixture.store, options), newProcess(fixture, second, options)]
}

/** Returns two caches on the backend of the fixture that share no state. */
export async function newProcessCaches(
  fixture: Fixture,
  options?: CacheOptions,
): Promise<readonly [Cache, Cache]> {
  const [a, b] = await newProcesses(fixture, options)
  return [a.cache, b.cache]
}

/** The same, for caches that both read a key before either writes it. */
export async function newSimultaneousCaches(fixture: Fixture): Promise<readonly [Cache, Cache]> {
  const second = (await fixture.createSharedStore()) ?? fixture.store
  const { clock } = fixture
  return [
    new Cache(withSlowReads(separate(fixture.store)), { clock }),
    new Cache(withSlowReads(separate(second)), { clock }),
  ]
}

/** Ends reads in a later turn of the event loop. */
function withSlowReads(store: CacheStore): CacheStore {
  return wrapStore(store, async (operation, call) => {
    const result = await call()
    if (operation === 'get' || operation === 'getMany') await nextTurn()
    return result
  })
}

function newProcess(fixture: Fixture, store: AnyStore, options: CacheOptions): CacheProcess {
  const refreshes: Promise<void>[] = []
  const waitUntil = (refresh: Promise<void>) => void refreshes.push(refresh)
  const defaults = { clock: fixture.clock, waitUntil, remember: patientLease }
  const cache = new Cache(separate(store), { ...defaults, ...options })
  return { cache, refreshed: async () => void (await Promise.all(refreshes)) }
}

/** A process that can be disconnected from the backend. */
export interface StoppableProcess {
  readonly cache: Cache
  stop(): void
  resume(): void
}

export function newStoppableProcess(fixture: Fixture): StoppableProcess {
  const chaos = new Chaos()
  const cache = new Cache(withChaos(separate(fixture.store), chaos), { clock: fixture.clock })
  return { cache, stop: () => chaos.failAll(), resume: () => chaos.reset() }
}

/** Returns a store with which caches behave as if other processes reached its items. */
function separate(store: AnyStore): CacheStore {
  const wrapped = wrapStore(store as unknown as CacheStore, (_operation, call) => call())
  return Object.assign(wrapped, { processLocal: false })
}

/** A load that does not end by itself. */
export interface HeldLoad {
  /** Ends the load, and returns what its caller receives. */
  end(value: string): Promise<unknown>
}

/** Begins a load that holds the lease of its key until it is ended. */
export async function holdLease(
  cache: Cache,
  key: string,
  options: RememberOptions<string> = {},
): Promise<HeldLoad> {
  const loader = new HeldLoader()
  const held = { lease: '1m', loadTimeout: Infinity } as const
  const result = cache.remember(key, { ...held, ...options }, loader.load)
  const unexpected = result.then((value) => assert.fail(`not loaded, but read: ${String(value)}`))
  // A case that fails leaves its load behind.
  unexpected.catch(() => {})
  await Promise.race([loader.begun, unexpected])
  return {
    end: (value) => {
      loader.end(value)
      return result
    },
  }
}

/** A refresh in the background that does not end by itself. */
export interface HeldRefresh {
  /** Ends the refresh, and resolves when its value has been stored. */
  end(value: string): Promise<void>
}

/** Reads the value 'old', which has to be stale, and begins to refresh it. */
export async function holdRefresh(
  { cache, refreshed }: CacheProcess,
  key: string,
  options: RememberOptions<string>,
): Promise<HeldRefresh> {
  const loader = new HeldLoader()
  const held = { loadTimeout: Infinity, ...options }
  const value = await cache.remember(key, held, ({ background }) => {
    assert.ok(background, 'the value is stale, so that its refresh is in the background')
    return loader.load()
  })
  assert.equal(value, 'old', 'remember returns the stale value')
  await settlesWithin(refreshMs, 'the refresh of a stale value', () => loader.begun)
  return {
    end: (next) => {
      loader.end(next)
      return refreshed()
    },
  }
}

class HeldLoader {
  /** Resolves when the loader is called. */
  readonly begun: Promise<void>
  readonly #value: Promise<string>
  #begin!: () => void
  #end!: (value: string) => void

  constructor() {
    this.begun = new Promise((resolve) => {
      this.#begin = resolve
    })
    this.#value = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  readonly load = (): Promise<string> => {
    this.#begin()
    return this.#value
  }

  end(value: string): void {
    this.#end(value)
  }
}
