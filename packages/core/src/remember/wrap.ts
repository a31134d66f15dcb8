import { namespacePrefix } from '../keys.ts'
import type { RememberOptions } from '../loading/remember-options.ts'
import type { Awaitable } from '../store.ts'

/** Options of `wrap`: those of `remember`, and how the key is derived. */
export interface WrapOptions<A extends unknown[], T> extends RememberOptions<T> {
  /**
   * Name of the function in its keys. Functions with the same name on one cache share their entries. Do not use
   * `fn.name`: a bundler may change it.
   */
  readonly name: string
  /**
   * Returns the part of the key that identifies the arguments. Needed if they are not all strings, finite numbers,
   * booleans, bigints or `null`. @default a text that differs for different arguments
   */
  readonly key?: NoInfer<(...args: A) => string> | undefined
}

/** A function whose results are cached. */
export interface Wrapped<A extends unknown[], T> {
  (...args: A): Promise<T>
  /** Returns the key of the result for these arguments, for other methods of the same cache. */
  keyOf(...args: A): string
  /** Deletes the result for these arguments. Returns whether it existed. */
  delete(...args: A): Promise<boolean>
  /** Makes the result for these arguments stale, or deletes it if it has no stale window. */
  expire(...args: A): Promise<boolean>
  /** Calls the function even if a fresh result exists, stores the new result and returns it. */
  refresh(...args: A): Promise<T>
}

/** The methods of a cache that a wrapped function uses. */
interface WrapTarget {
  remember<T>(key: string, options: RememberOptions<T>, load: () => Awaitable<T>): Promise<T>
  delete(key: string): Promise<boolean>
  expire(key: string): Promise<boolean>
}

/** Returns a function that calls `fn` through `remember`. */
export function wrapFunction<A extends unknown[], T>(
  cache: WrapTarget,
  fn: (...args: A) => Awaitable<T>,
  wrapOptions: WrapOptions<A, T>,
): Wrapped<A, T> {
  checkWrapped(fn, wrapOptions?.name)
  const { name, key, ...options } = wrapOptions
  const prefix = namespacePrefix(name)
  const refreshOptions = { ...options, refresh: true }
  const keyOf = (...args: A) =>
    prefix + (key === undefined ? argumentsKey(args) : checkKey(key(...args)))
  const call = (args: A, used: RememberOptions<T>) =>
    cache.remember(keyOf(...args), used, () => fn(...args))
  const wrapped = async (...args: A) => call(args, options)
  return Object.assign(wrapped, {
    keyOf,
    delete: async (...args: A) => cache.delete(keyOf(...args)),
    expire: async (...args: A) => cache.expire(keyOf(...args)),
    refresh: async (...args: A) => call(args, refreshOptions),
  })
}

function checkKey(key: string): string {
  // Different arguments would otherwise share the key "undefined".
  if (typeof key === 'string') return key
  throw new TypeError(`The option key of wrap must return a string, not ${typeof key}.`)
}

/** A text that differs for different arguments: like JSON, but with a suffix for bigints, and with `-0`. */
function argumentsKey(args: readonly unknown[]): string {
  return `[${args.map(argumentText).join(',')}]`
}

function argumentText(argument: unknown, index: number): string {
  if (argument === null) return 'null'
  switch (typeof argument) {
    case 'string':
      // Also escapes lone surrogates, which would become equal in UTF-8.
      return JSON.stringify(argument)
    case 'boolean':
      return String(argument)
    case 'bigint':
      return `${argument}n`
    case 'number':
      if (Number.isFinite(argument)) return Object.is(argument, -0) ? '-0' : String(argument)
  }
  throw new TypeError(
    `wrap cannot derive a key from argument ${index + 1}: only strings, finite numbers, booleans, bigints and null ` +
      'identify themselves. Pass the option key, a function that returns a string for the arguments.',
  )
}

function checkWrapped(fn: unknown, name: unknown): void {
  if (typeof fn === 'function' && typeof name === 'string' && name !== '') return
  throw new TypeError(
    "wrap: pass a function and the first part of its keys: wrap(findUser, { name: 'user', ttl: '5m' }).",
  )
}
