import { checkOptionNames } from './check-options.ts'

// Arguments that a mistake makes wrong in JavaScript, or with a cast. Each message names the remedy, because the error
// that would follow otherwise, such as "load is not a function", does not.

const writeOptionNames = { ttl: true, tags: true } as const
/** Applications share one object of options between `set` and `remember`. What only `remember` uses is ignored. */
const rememberOptionNames: readonly string[] = [
  'staleWhileRevalidate',
  'staleIfError',
  'timeout',
  'signal',
  'loadTimeout',
  'backoff',
  'jitter',
  'lease',
  'refresh',
  'audit',
]
const readOptionNames = { consistency: true, confirmGeneration: true, forUpdate: true } as const

/** @throws TypeError unless `store` is a store */
export function checkStore(store: unknown): void {
  if (isStore(store)) return
  const hint =
    typeof store === 'function'
      ? ' Call the driver: memory().'
      : hasMethods(store, 'namespace')
        ? " For a part of a cache, call cache.namespace('app')."
        : ''
  throw new TypeError(
    `Cache: the first argument must be a store, such as memory() of @stowage/memory.${hint}`,
  )
}

/** @throws TypeError unless `stores` is an array of stores */
export function checkFailoverStores(stores: unknown): void {
  if (Array.isArray(stores) && stores.every(isStore)) return
  throw new TypeError(
    'failover: the first argument must be an array of stores, such as [redis(), memory()].',
  )
}

/** @throws TypeError unless `prefix` is a string */
export function checkPrefix(prefix: unknown): void {
  if (typeof prefix === 'string') return
  throw new TypeError('Cache: the option prefix must be a string.')
}

/** @throws TypeError unless `codec` encodes and decodes */
export function checkCodec(codec: unknown): void {
  if (hasMethods(codec, 'encode', 'decode')) return
  throw new TypeError('Cache: the option codec must be a codec, such as json() or structured().')
}

/** @throws TypeError for a bus that nothing can be published with, which would be noticed only by its failures */
export function checkBus(name: string, bus: unknown): void {
  if (bus === undefined || hasMethods(bus, 'publish', 'subscribe')) return
  throw new TypeError(`${name} must be an invalidation bus, such as redisBus({ url }).`)
}

/** @throws TypeError for options that a read does not have, and for a default value as of other libraries */
export function checkReadOptions(options: object): void {
  if (typeof options !== 'object') {
    throw new TypeError(
      "The options of a read must be an object, such as { consistency: 'strong' }. For a default value, write: (await cache.get(key)) ?? value.",
    )
  }
  checkOptionNames<object>('The options of a read', options, readOptionNames)
}

/** @throws TypeError for options that a write does not have, and for a ttl that is not in an object */
export function checkWriteOptions(options: object): void {
  if (typeof options !== 'object') {
    throw new TypeError("The options of a write must be an object, such as { ttl: '5m' }.")
  }
  for (const name in options) {
    if (!Object.hasOwn(writeOptionNames, name) && !rememberOptionNames.includes(name)) {
      checkOptionNames<object>('The options of a write', { [name]: true }, writeOptionNames)
    }
  }
}

/** @throws TypeError unless `keys` is an array */
export function checkKeys(method: string, keys: unknown): void {
  if (Array.isArray(keys)) return
  throw new TypeError(`${method}: the keys must be an array, such as ['user:1', 'user:2'].`)
}

/** @throws TypeError unless `entries` can be iterated */
export function checkEntries(method: string, entries: unknown): void {
  if (typeof (entries as Iterable<unknown> | undefined)?.[Symbol.iterator] === 'function') return
  throw new TypeError(
    `${method}: the entries must be pairs of a key and a value, such as Object.entries(values).`,
  )
}

/** @throws TypeError unless `load` is a function */
export function checkLoader(method: string, load: unknown): void {
  if (typeof load === 'function') return
  throw new TypeError(
    `${method}: the third argument must be the function that loads the value: ${method}(key, { ttl: '5m' }, load).`,
  )
}

/**
 * @param call a correct call, for the message
 * @throws TypeError unless `work` is a function
 */
export function checkFunction(work: unknown, call: string): void {
  if (typeof work === 'function') return
  throw new TypeError(`A function is missing: ${call}.`)
}

/** @throws TypeError for a signal that is not an `AbortSignal`, such as its controller */
export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal === null || hasMethods(signal, 'addEventListener')) return
  throw new TypeError('The signal must be an AbortSignal, such as controller.signal.')
}

/** @throws TypeError unless `variables` is an object and `registry` a `DriverRegistry` */
export function checkEnvironment(variables: unknown, registry: unknown): void {
  if (typeof variables !== 'object' || variables === null) {
    throw new TypeError('The first argument must be an object of variables, such as process.env.')
  }
  if (hasMethods(registry, 'has', 'load', 'names')) return
  throw new TypeError(
    'The second argument must be a DriverRegistry, such as standardDrivers() of @stowage/drivers.',
  )
}

/** @throws TypeError unless each store is a function, or an object with one */
export function checkStores(stores: unknown): void {
  if (typeof stores !== 'object' || stores === null) {
    throw new TypeError(
      "createCaches: pass the stores by name: { default: 'pages', stores: { pages: () => memory() } }.",
    )
  }
  for (const [name, definition] of Object.entries(stores)) {
    const store = typeof definition === 'function' ? definition : definition?.store
    if (typeof store === 'function') continue
    throw new TypeError(
      `createCaches: the store of "${name}" must be a function that creates it: () => memory().`,
    )
  }
}

/** @throws TypeError unless the number that is added to a counter is a safe integer */
export function checkIncrement(by: number): void {
  if (Number.isSafeInteger(by)) return
  throw new TypeError(`increment: the number to add must be a whole number, not ${String(by)}.`)
}

function isStore(value: unknown): boolean {
  return hasMethods(value, 'get', 'set', 'close') && 'limits' in value && 'payload' in value
}

function hasMethods<Name extends string>(
  value: unknown,
  ...names: readonly Name[]
): value is Record<Name, unknown> {
  const object = value as Record<Name, unknown> | null | undefined
  return names.every((name) => typeof object?.[name] === 'function')
}

/** @throws TypeError for a tag that is not a non-empty string */
export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags)) throw new TypeError("Tags must be an array, such as ['products'].")
  if (tags.every((tag) => typeof tag === 'string' && tag !== '')) return tags
  throw new TypeError('A tag must be a non-empty string.')
}
