import { type Awaitable, CacheError, withTimeout } from '@stowage/core'
import { type ByteStore, type StoreOperation, wrapStore } from '@stowage/core/driver'
import { Chaos, ReferenceStore, type ReferenceStoreOptions, withChaos } from '@stowage/testing'

/** The deadline of the stores, and that of the conformance kit, which allows for a slow machine. */
export const timeoutMs = 100
export const deadlineMs = 400

/** How the backend fails: it refuses connections, or does not reply. */
export type OutageKind = 'refuses' | 'freezes'

/** A backend that can be unreachable. */
export class Backend {
  readonly #chaos = new Chaos()
  readonly #kind: OutageKind
  readonly #options: ReferenceStoreOptions
  isDown = false

  constructor(kind: OutageKind, options: ReferenceStoreOptions) {
    this.#kind = kind
    this.#options = { ...options, items: new Map() }
  }

  readonly break = (): void => {
    this.isDown = true
    if (this.#kind === 'refuses') this.#chaos.failAll()
    else this.#chaos.hang(operations)
  }

  readonly restore = (): void => {
    this.isDown = false
    this.#chaos.reset()
  }

  /** A store whose calls fail or hang while the backend is unreachable. */
  connect(): ByteStore {
    return withChaos(new ReferenceStore(this.#options) as ByteStore, this.#chaos)
  }
}

const operations: readonly StoreOperation[] = [
  'get',
  'getMany',
  'set',
  'setMany',
  'add',
  'compareAndSet',
  'increment',
  'touch',
  'delete',
  'deleteMany',
  'clear',
  'ping',
  'scan',
]

/** A store that keeps the rules. */
export const createSound = (backend: Backend): ByteStore =>
  withTimeout(backend.connect(), timeoutMs)

/** How the backend fails, the store, and the options of the reference store behind it. */
export type BrokenOutage = readonly [
  OutageKind,
  (backend: Backend) => ByteStore,
  ReferenceStoreOptions?,
]

const unlistable = { scan: false }

/**
 * Makes a call that times out until twice the deadline of the kit has passed. The kit counts the time for which this process
 * runs, in few ticks: on a busy machine, a sleep may end before them.
 */
async function settleLate<T>(call: () => Awaitable<T>): Promise<T> {
  for (let waitedMs = 0; waitedMs < 2 * deadlineMs; waitedMs += timeoutMs)
    await Promise.allSettled([call()])
  return call()
}

/** Changes the errors of a store. */
function withErrors(change: (error: unknown, args: readonly unknown[]) => unknown) {
  return (backend: Backend): ByteStore =>
    wrapStore(createSound(backend), async (_operation, call, args) => {
      try {
        return await call()
      } catch (error) {
        throw change(error, args)
      }
    })
}

export const outages: Readonly<Record<string, BrokenOutage>> = {
  'a call without a reply never settles': ['freezes', (backend) => backend.connect()],
  'a call settles after its deadline': [
    'freezes',
    (backend) =>
      wrapStore(createSound(backend), (operation, call) =>
        backend.isDown && operation !== 'close' ? settleLate(call) : call(),
      ),
  ],
  'a call of an unused prefix waits for one deadline after another': [
    'freezes',
    (backend) =>
      wrapStore(createSound(backend), (_operation, call, [key]) =>
        backend.isDown && String(key).includes('unused:~generation') ? settleLate(call) : call(),
      ),
    unlistable,
  ],
  'the error is that of the client': ['refuses', withErrors(() => new Error('ECONNREFUSED'))],
  'the error of a generation is that of the client': [
    'refuses',
    withErrors((error, [key]) =>
      String(key).includes('~generation') ? new Error('ECONNREFUSED') : error,
    ),
    unlistable,
  ],
  'the error has another code': [
    'refuses',
    withErrors(() => new CacheError('ERR_CACHE_REJECTED', 'refused')),
  ],
  'the error names neither store nor operation': [
    'refuses',
    withErrors(() => new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable')),
  ],
  'an unreachable backend is a miss': [
    'refuses',
    (backend) => {
      const store = createSound(backend)
      return { ...store, get: async (key) => (backend.isDown ? undefined : store.get(key)) }
    },
  ],
  'a set without a backend succeeds': [
    'freezes',
    (backend) => {
      const store = createSound(backend)
      return {
        ...store,
        set: async (key, payload, ttl) =>
          backend.isDown ? undefined : store.set(key, payload, ttl),
      }
    },
  ],
  'the calls of a tick share one error': [
    'freezes',
    (() => {
      let shared: CacheError | undefined
      return (backend: Backend): ByteStore =>
        withErrors((error, [key]) => {
          const { store, operation } = error as CacheError
          shared ??= new CacheError('ERR_CACHE_TIMEOUT', 'no reply', {
            store,
            operation,
            key: String(key),
          })
          setImmediate(() => {
            shared = undefined
          })
          return shared
        })(backend)
    })(),
  ],
  'the store never recovers': [
    'refuses',
    (backend) => {
      let failure: unknown
      return wrapStore(createSound(backend), async (operation, call) => {
        if (failure !== undefined && operation !== 'close') throw failure
        try {
          return await call()
        } catch (error) {
          failure = error
          throw error
        }
      })
    },
  ],
  'a store that is created during an outage never recovers': [
    'refuses',
    (backend) => {
      const wasDown = backend.isDown
      return wrapStore(createSound(backend), (operation, call) => {
        if (!wasDown || operation === 'close') return call()
        throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable', {
          store: 'reference',
          operation,
        })
      })
    },
  ],
  'close waits for the backend': [
    'freezes',
    (backend) => {
      const store = createSound(backend)
      return {
        ...store,
        close: async () => {
          while (backend.isDown) await new Promise((resolve) => setTimeout(resolve, 10))
          await store.close()
        },
      }
    },
  ],
}
