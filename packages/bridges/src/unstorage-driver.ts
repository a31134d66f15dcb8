import type { Cache } from '@stowage/core'
import { canListKeys, viewAsIs } from '@stowage/core/internal'
import { checkCache } from './support/check-cache.ts'
import { setByTtl } from './support/set-by-ttl.ts'
import { textOf } from './support/text-of.ts'

interface TtlOptions {
  /** In seconds. */
  readonly ttl?: number
}

interface Item {
  readonly key: string
  readonly options?: TtlOptions
}

/** What unstorage calls, without a `this`. */
export interface UnstorageDriver {
  name: string
  flags: { ttl: boolean }
  hasItem(key: string): Promise<boolean>
  getItem(key: string): Promise<string | null>
  getItems(items: Item[]): Promise<{ key: string; value: string | null }[]>
  getItemRaw(key: string): Promise<Buffer | null>
  setItem(key: string, value: string, options?: TtlOptions): Promise<void>
  setItems(items: (Item & { value: string })[]): Promise<void>
  setItemRaw(key: string, value: unknown, options?: TtlOptions): Promise<void>
  removeItem(key: string): Promise<void>
  getKeys(base?: string): Promise<string[]>
  clear(base?: string): Promise<void>
  dispose(): Promise<void>
}

/**
 * Returns a driver that stores items in a cache. The ttl of the cache applies to items without one, as those of Nitro with
 * `swr`.
 *
 * @example
 * import { createStorage } from 'unstorage'
 *
 * const storage = createStorage({ driver: unstorageDriver(cache) })
 * await storage.setItem('user:1', { name: 'Ada' }, { ttl: 60 })
 */
export function unstorageDriver(cache: Cache): UnstorageDriver {
  checkCache('unstorageDriver', cache)
  const [texts, bytes] = [viewAsIs(cache, 'text'), viewAsIs(cache, 'bytes')]
  const set = (key: string, value: unknown, options?: TtlOptions) =>
    bytes.set(key, value, { ttl: milliseconds(options) })
  return {
    name: 'stowage',
    flags: { ttl: true },
    hasItem: (key) => bytes.has(key),
    getItem: async (key) => textOf(await texts.get(key)) ?? null,
    getItemRaw: async (key) => bytesOf(await bytes.get(key)),
    async getItems(items) {
      const values = await texts.getMany(items.map(({ key }) => key))
      return items.map(({ key }, index) => ({ key, value: textOf(values[index]) ?? null }))
    },
    setItem: set,
    setItemRaw: (key, value, options) =>
      set(key, isBuffer(value) ? bytesOf(value) : value, options),
    setItems: (items) =>
      setByTtl(
        bytes,
        items.map(({ key, value, options }) => [key, value, milliseconds(options)]),
      ),
    async removeItem(key) {
      await bytes.delete(key)
    },
    getKeys: async (base = '') => (canListKeys(bytes) ? keysOf(bytes, base) : []),
    async clear(base = '') {
      if (base === '') await bytes.clear()
      else await bytes.deleteMany(await keysOf(bytes, base))
    },
    async dispose() {},
  }
}

async function keysOf(cache: Cache, base: string): Promise<string[]> {
  const keys: string[] = []
  for await (const key of cache.keys()) if (key.startsWith(base)) keys.push(key)
  return keys
}

function milliseconds(options: TtlOptions | undefined): number | undefined {
  return options?.ttl === undefined ? undefined : options.ttl * 1_000
}

function isBuffer(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value)
}

function bytesOf(value: unknown): Buffer | null {
  if (value === undefined) return null
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return Buffer.from(value as string)
}
