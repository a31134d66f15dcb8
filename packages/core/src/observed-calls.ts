import type { CacheCalls } from './cache-calls.ts'
import type { CacheOperation } from './channels.ts'
import type { LoadContext } from './loading/load-context.ts'
import type { RememberOptions } from './loading/remember-options.ts'
import type { Awaitable, ReadOptions } from './store.ts'
import { beginCall, type CallSource, observeCall, TracedCall } from './tracing/traced-call.ts'

export type Calls = Pick<CacheCalls, keyof CacheCalls & CacheOperation>

type KeysOf = (args: readonly unknown[]) => readonly string[]

const noKeys: KeysOf = () => []
const ofKey: KeysOf = ([key]) => [key as string]
const ofKeys: KeysOf = ([keys]) => keys as readonly string[]
const ofEntries: KeysOf = ([entries]) =>
  (entries as readonly (readonly [string, unknown])[]).map(([key]) => key)

const keysOf = {
  getMany: ofKeys,
  set: ofKey,
  setMany: ofEntries,
  add: ofKey,
  replace: ofKey,
  update: ofKey,
  pull: ofKey,
  snapshot: ofKey,
  rememberMany: ofKeys,
  expire: ofKey,
  invalidateTags: noKeys,
  increment: ofKey,
  touch: ofKey,
  delete: ofKey,
  deleteMany: ofKeys,
  clear: noKeys,
  ping: noKeys,
} as const satisfies Record<Exclude<keyof Calls, 'get' | 'remember'>, KeysOf>

/** The calls of a cache, each of which is published. Every argument must be passed, also if it is `undefined`. */
export function observedCalls(source: CallSource, calls: Calls): Calls {
  const observed: Record<string, unknown> = {
    // The most frequent calls settle the event themselves: a promise for that would cost as much as all the rest.
    get: (key: string, options: ReadOptions | undefined) =>
      beginCall(new TracedCall(source, 'get', [key]), (call) => calls.get(key, options, call)),
    remember: <T>(
      key: string,
      options: RememberOptions<T>,
      load: (context: LoadContext<T>) => Awaitable<T>,
    ) =>
      beginCall(new TracedCall(source, 'remember', [key]), (call) =>
        calls.remember(key, options, load, call),
      ),
  }
  for (const [name, keys] of Object.entries(keysOf)) {
    const operation = name as keyof typeof keysOf
    const method = calls[operation] as (...args: unknown[]) => Promise<unknown>
    observed[name] = (...args: unknown[]) => {
      const run = (call: TracedCall) => method.call(calls, ...args, call)
      return observeCall(source, operation, keys(args), run)
    }
  }
  return observed as unknown as Calls
}
