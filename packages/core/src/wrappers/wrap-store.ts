import type { AnyStore, Awaitable, CacheStore } from '../store.ts'

/** A method of the store contract that accesses the backend. */
export type StoreOperation = (typeof operations)[number]

const operations = [
  'get',
  'getMany',
  'getWithTtl',
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
  'close',
  'scan',
  'consistencyToken',
  'time',
] as const

/** Handles a call of a wrapped store. `call` executes it; it may be called repeatedly, or not at all. */
export type Interceptor = <T>(
  operation: StoreOperation,
  call: () => Awaitable<T>,
  args: readonly unknown[],
) => Awaitable<T>

/**
 * Returns a store that passes every call to `intercept`, and each page of a scan as a separate call.
 * Its name, limits and payload type are those of `store`.
 *
 * @example
 * const logged = wrapStore(store, (operation, call) => {
 *   console.log(operation)
 *   return call()
 * })
 * await logged.get('user:1')
 */
export function wrapStore<S extends CacheStore>(store: S, intercept: Interceptor): S {
  const inner = store as unknown as AnyStore & Record<StoreOperation, (...args: unknown[]) => never>
  const wrapped: Record<PropertyKey, unknown> = {
    name: inner.name,
    payload: inner.payload,
    durable: inner.durable,
    processLocal: inner.processLocal,
    // Not copied: a store may learn its limits from the first reply.
    get limits() {
      return inner.limits
    },
    // The nodes may change.
    get placement() {
      return inner.placement
    },
  }
  for (const operation of operations) {
    if (operation === 'scan' || inner[operation] === undefined) continue
    wrapped[operation] = (...args: unknown[]) =>
      intercept(operation, () => inner[operation](...args), args)
  }
  // Always a promise, even if `intercept` returns or throws synchronously.
  const close = async () => intercept('close', () => inner.close(), [])
  wrapped.close = close
  wrapped[Symbol.asyncDispose] = close
  if (inner.scan !== undefined) {
    wrapped.scan = (prefix: string) => interceptPages(inner.scan(prefix), prefix, intercept)
  }
  // Of a store that fails over to others: where the locks are, and what its caches take part in.
  const { primary, recovery } = inner as {
    readonly primary?: CacheStore
    readonly recovery?: unknown
  }
  if (recovery !== undefined) wrapped.recovery = recovery
  if (primary !== undefined) wrapped.primary = wrapStore(primary, intercept)
  if (inner.diagnostics !== undefined) wrapped.diagnostics = inner.diagnostics
  if (inner.observe !== undefined) wrapped.observe = (token: string) => inner.observe?.(token)
  return wrapped as unknown as S
}

async function* interceptPages<T>(
  pages: AsyncIterable<T>,
  prefix: string,
  intercept: Interceptor,
): AsyncGenerator<T, void, undefined> {
  const iterator = pages[Symbol.asyncIterator]()
  try {
    for (;;) {
      const page = await intercept('scan', () => iterator.next(), [prefix])
      if (page.done === true) return
      yield page.value
    }
  } finally {
    // Not awaited: if the backend does not reply to the last page, this would never settle.
    iterator.return?.().catch(() => {})
  }
}
