import type { Awaitable, CacheStore } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'

/** A method of the contract that talks to the backend. */
export type StoreOperation = (typeof operations)[number]

const operations = [
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
  'close',
  'scan',
  'consistencyToken',
] as const

/** What a wrapper does with a call; `call` passes it on, and may be called again or not at all. */
export type Interceptor = <T>(
  operation: StoreOperation,
  call: () => Awaitable<T>,
  args: readonly unknown[],
) => Awaitable<T>

/**
 * A store around a store: every call goes through `around`, each page of a scan as a call of its own.
 * Name, limits and the kind of payload are those of the store inside.
 */
export function wrapStore<S extends CacheStore>(store: S, around: Interceptor): S {
  const inner = store as unknown as AnyStore & Record<StoreOperation, (...args: unknown[]) => never>
  const wrapped: Record<string, unknown> = {
    name: inner.name,
    payload: inner.payload,
    // Some are known only once the backend has answered.
    get limits() {
      return inner.limits
    },
  }
  for (const operation of operations) {
    if (operation === 'scan' || inner[operation] === undefined) continue
    wrapped[operation] = (...args: unknown[]) =>
      around(operation, () => inner[operation](...args), args)
  }
  wrapped.close = async () => around('close', () => inner.close(), [])
  if (inner.scan !== undefined) {
    wrapped.scan = (prefix: string) => pagesAround(inner.scan(prefix), prefix, around)
  }
  if (inner.observe !== undefined) wrapped.observe = (token: string) => inner.observe?.(token)
  return wrapped as unknown as S
}

async function* pagesAround<T>(
  pages: AsyncIterable<T>,
  prefix: string,
  around: Interceptor,
): AsyncGenerator<T, void, undefined> {
  const iterator = pages[Symbol.asyncIterator]()
  try {
    for (;;) {
      const page = await around('scan', () => iterator.next(), [prefix])
      if (page.done === true) return
      yield page.value
    }
  } finally {
    // Not awaited: a generator that hangs in its last page would never return.
    iterator.return?.().catch(() => {})
  }
}
