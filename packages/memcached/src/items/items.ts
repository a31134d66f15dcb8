import type { Payload } from '@stowage/core'
import { exceeds, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { type Connection, defaultItemBytes } from '../connection/connection.ts'
import { type Dispatch, settled } from '../nodes/dispatcher.ts'
import type { Reply, StoreMode, StoreRequest } from '../protocol/protocol.ts'
import { isThere, readAnything } from '../protocol/status-replies.ts'
import { type Found, Manifest, split } from './chunks.ts'
import { expiryOf } from './exptime.ts'
import { readFound, readPart, readPayload } from './item-replies.ts'
import { flags, guarded, needsGuard } from './value-format.ts'

/** The server refuses longer ones: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Keys" */
export const keyBytes = 250
/** What counts to an item's size beside its value: header, key, flags, the number of its change, the ends of key and value, a guard. */
const itemOverhead = 48 + (keyBytes + 1) + 4 + 8 + 2 + 1
/** Most parts of a payload that is too large for one item. */
const mostParts = 64
/** By so much the parts outlive the list of them, which is written and touched at another time. */
const partsLongerMs = 2_000

export interface Write<T> {
  readonly mode: StoreMode
  readonly ttl?: number | undefined
  /** Only if the item still has this one. @default any */
  readonly cas?: bigint | undefined
  readonly read: (reply: Reply) => T
}

/** Payloads as items of memcached: each as one, or, where that is allowed and needed, as several. */
export class Items {
  readonly #dispatch: Dispatch
  readonly #inParts: boolean

  constructor(dispatch: Dispatch, inParts: boolean) {
    this.#dispatch = dispatch
    this.#inParts = inParts
  }

  get valueBytes(): number {
    return this.#itemLimit * (this.#inParts ? mostParts : 1)
  }

  get(key: string): Promise<Payload | undefined> {
    if (this.#inParts) return this.#dispatch.tracked(this.#getWhole(key))
    return this.#dispatch.one('get', key, (connection) => connection.get('get', key, readPayload))
  }

  getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    if (!this.#inParts) return this.#dispatch.many('getMany', keys, readPayload)
    return this.#dispatch.tracked(this.#getManyWhole(keys))
  }

  store<T>(operation: string, key: string, item: Payload, write: Write<T>): Promise<T> {
    return this.#dispatch.one(operation, key, (connection) =>
      isTooLarge(item, connection)
        ? this.#dispatch.tracked(this.#storeLarge(operation, key, item, write))
        : connection.store(operation, request(key, item, write), write.read),
    )
  }

  async storeMany(items: ReadonlyMap<string, Payload>, ttl: number | undefined): Promise<void> {
    const write: Write<void> = { mode: 'set', ttl, read: readAnything }
    await this.#dispatch.groups('setMany', [...items.keys()], async (connection, { keys }) => {
      const small: StoreRequest[] = []
      const sent: Promise<void>[] = []
      for (const key of keys) {
        const item = items.get(key) as Payload
        if (isTooLarge(item, connection)) sent.push(this.#storeLarge('setMany', key, item, write))
        else small.push(request(key, item, write))
      }
      await settled([...sent, connection.storeMany('setMany', small, write.read)])
    })
  }

  /** Moves the expiry; says whether the item is there. */
  touch(key: string, ttl: number | undefined): Promise<boolean> {
    if (this.#inParts) return this.#dispatch.tracked(this.#touchWhole(key, ttl))
    return this.#touchItem(key, ttl)
  }

  delete(operation: string, key: string): Promise<boolean> {
    return this.#dispatch.one(operation, key, (connection) =>
      connection.delete(operation, key, 0n, isThere),
    )
  }

  /** The payload of what was found. */
  async whole(operation: string, found: Found | undefined): Promise<Payload | undefined> {
    if (!(found instanceof Manifest)) return found
    return found.join(await this.#dispatch.many(operation, found.keys, readPart))
  }

  /** @throws CacheError `ERR_CACHE_LIMIT` */
  assertFits(operation: string, key: string, item: Payload): void {
    const { valueBytes } = this
    if (!exceeds(item, valueBytes)) return
    throw valueTooLarge('memcached', operation, key, payloadBytes(item), valueBytes)
  }

  async #storeLarge<T>(operation: string, key: string, item: Payload, write: Write<T>): Promise<T> {
    // What was to be replaced must not be served as if nothing had happened.
    const replaces = write.mode === 'set' && write.cas === undefined
    if (replaces && exceeds(item, this.valueBytes)) await this.delete(operation, key)
    this.assertFits(operation, key, item)
    const manifest = await this.#storeParts(operation, item, write.ttl)
    const list = { ...request(key, manifest.toString(), write), flags: flags.manifest }
    return this.#dispatch.one(operation, key, (connection) =>
      connection.store(operation, list, write.read),
    )
  }

  async #storeParts(operation: string, item: Payload, ttl: number | undefined): Promise<Manifest> {
    const { manifest, parts } = split(item, this.#itemLimit)
    const expiry = expiryOf(longer(ttl))
    await this.#dispatch.groups(operation, manifest.keys, (connection, { keys, indexes }) => {
      const requests = keys.map((key, index) => ({
        ...{ mode: 'set' as const, key, flags: flags.part, expiry, cas: 0n },
        item: parts[indexes[index] as number] as Buffer,
      }))
      return connection.storeMany(operation, requests, readAnything)
    })
    return manifest
  }

  async #getWhole(key: string): Promise<Payload | undefined> {
    const found = await this.#dispatch.one('get', key, (connection) =>
      connection.get('get', key, readFound),
    )
    return this.whole('get', found)
  }

  async #getManyWhole(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    const found = await this.#dispatch.many('getMany', keys, readFound)
    return Promise.all(found.map((each) => this.whole('getMany', each)))
  }

  #touchItem(key: string, ttl: number | undefined): Promise<boolean> {
    return this.#dispatch.one('touch', key, (connection) =>
      connection.touch('touch', key, expiryOf(ttl), isThere),
    )
  }

  async #touchWhole(key: string, ttl: number | undefined): Promise<boolean> {
    const found = await this.#dispatch.one('touch', key, (connection) =>
      connection.getAndTouch('touch', key, expiryOf(ttl), readFound),
    )
    if (!(found instanceof Manifest)) return found !== undefined
    const touched = await Promise.all(found.keys.map((part) => this.#touchItem(part, longer(ttl))))
    return touched.every(Boolean)
  }

  /** Largest value of one item that every node takes. */
  get #itemLimit(): number {
    let least = Infinity
    for (const { itemBytes } of this.#dispatch.nodes) least = Math.min(least, itemBytes)
    return (least === Infinity ? defaultItemBytes : least) - itemOverhead
  }
}

function isTooLarge(item: Payload, { itemBytes }: Connection): boolean {
  return exceeds(item, itemBytes - itemOverhead)
}

function longer(ttl: number | undefined): number | undefined {
  return ttl === undefined ? undefined : ttl + partsLongerMs
}

function request(
  key: string,
  item: Payload,
  { mode, ttl, cas = 0n }: Omit<Write<unknown>, 'read'>,
): StoreRequest {
  const isGuarded = mode !== 'prepend' && needsGuard(item)
  return {
    mode,
    key,
    item: isGuarded ? guarded(item) : item,
    flags: isGuarded ? flags.guarded : flags.plain,
    expiry: expiryOf(ttl),
    cas,
  }
}
