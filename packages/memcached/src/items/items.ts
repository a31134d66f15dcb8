import type { Payload } from '@stowage/core'
import type { ItemWithTtl } from '@stowage/core/driver'
import { exceeds, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { type Connection, defaultItemBytes } from '../connection/connection.ts'
import type { Failures } from '../connection/pending-requests.ts'
import { type Dispatcher, type KeyGroup, throwFailures } from '../nodes/dispatcher.ts'
import type { Reply, StoreMode, StoreRequest } from '../protocol/protocol.ts'
import { readExists, readOk } from '../protocol/status-replies.ts'
import { ChunkList, type ItemValue, split } from '../values/chunks.ts'
import { readChunk, readPayload, readValue } from '../values/item-replies.ts'
import { escaped, flags, needsEscape } from '../values/value-format.ts'
import { failuresOf, mergeFailures, throwFirst } from './batch-failures.ts'
import { getValueWithTtl } from './value-with-ttl.ts'

/** The server rejects longer keys: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Keys" */
export const maxKeyBytes = 250
/** What counts towards the size of an item besides its value: header, key, flags, cas id, line end, escape byte. */
const itemOverheadBytes = 48 + (maxKeyBytes + 1) + 4 + 8 + 2 + 1
const maxChunks = 64
const chunkRemedy = "Store less, compress it, or set oversize: 'chunk' (MEMCACHED_OVERSIZE=chunk)."
/** Chunks expire later than their list, because they are stored and touched at other times. */
const extraChunkTtlMs = 2_000

/** How to store a payload, and how to read the reply. */
export interface ItemWrite<T> {
  readonly mode: StoreMode
  readonly ttl?: number | undefined
  /** Store only if the item still has this id. @default any */
  readonly cas?: bigint | undefined
  readonly read: (reply: Reply) => T
}

/** Stores each payload as one item, or, if chunks are enabled and it is too large, as several. */
export class Items {
  readonly #dispatcher: Dispatcher
  /** Whether a payload that is too large for one item is stored as several. */
  readonly usesChunks: boolean

  constructor(dispatcher: Dispatcher, usesChunks: boolean) {
    this.#dispatcher = dispatcher
    this.usesChunks = usesChunks
  }

  /** The size of the largest payload. */
  get valueBytes(): number {
    return this.#maxChunkBytes * (this.usesChunks ? maxChunks : 1)
  }

  get(key: string): Promise<Payload | undefined> {
    if (this.usesChunks) return this.#dispatcher.track(this.#getWithChunks(key))
    return this.#dispatcher.send('get', key, (connection) =>
      connection.get('get', key, readPayload),
    )
  }

  async getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    if (this.usesChunks) return this.#dispatcher.track(this.#getManyWithChunks(keys))
    const payloads = misses<Payload>(keys)
    const failures = await this.#dispatcher.getMany('getMany', keys, payloads, readPayload)
    throwFailures('getMany', keys, failures, payloads)
    return payloads
  }

  async getWithTtl(keys: readonly string[]): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    const reads = keys.map((key) => this.#dispatcher.track(this.#getOneWithTtl(key)))
    const outcomes = await Promise.allSettled(reads)
    const failures = new Map<number, unknown>()
    const items = outcomes.map((outcome, index) => {
      if (outcome.status === 'fulfilled') return outcome.value
      failures.set(index, outcome.reason)
      return undefined
    })
    throwFailures('getWithTtl', keys, failures, items)
    return items
  }

  async #getOneWithTtl(key: string): Promise<ItemWithTtl<Payload> | undefined> {
    const found = await getValueWithTtl(this.#dispatcher, key)
    const item = await this.readChunks('getWithTtl', found?.value)
    return item === undefined ? undefined : { item, ttl: found?.ttl }
  }

  store<T>(operation: string, key: string, payload: Payload, write: ItemWrite<T>): Promise<T> {
    return this.#dispatcher.send(operation, key, (connection) =>
      isTooLarge(payload, connection)
        ? this.#dispatcher.track(this.#storeLarge(operation, key, payload, write))
        : connection.store(operation, storeRequest(key, payload, write), write.read),
    )
  }

  async storeMany(
    entries: readonly (readonly [string, Payload])[],
    ttl: number | undefined,
  ): Promise<void> {
    const payloads = new Map(entries)
    const uniqueKeys = [...payloads.keys()]
    const write: ItemWrite<void> = { mode: 'set', ttl, read: readOk }
    const failures = await this.#dispatcher.sendGroups('setMany', uniqueKeys, (connection, group) =>
      this.#storeGroup(connection, group.keys, payloads, write),
    )
    if (failures === undefined) return
    const keys = entries.map(([key]) => key)
    throwFailures('setMany', keys, failuresOf(keys, uniqueKeys, failures))
  }

  /** Stores the payloads of one node. A payload that is too large does not affect the others. */
  async #storeGroup(
    connection: Connection,
    keys: readonly string[],
    payloads: ReadonlyMap<string, Payload>,
    write: ItemWrite<void>,
  ): Promise<Failures | undefined> {
    const requests: StoreRequest[] = []
    const indexes: number[] = []
    const largeWrites: [index: number, write: Promise<void>][] = []
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index] as string
      const payload = payloads.get(key) as Payload
      if (isTooLarge(payload, connection)) {
        largeWrites.push([index, this.#storeLarge('setMany', key, payload, write)])
      } else {
        indexes.push(index)
        requests.push(storeRequest(key, payload, write))
      }
    }
    const storing =
      requests.length === 0 ? undefined : connection.storeMany('setMany', requests, write.read)
    if (largeWrites.length === 0) return storing
    return mergeFailures(largeWrites, indexes, storing)
  }

  /** Sets the expiry. Returns whether the item exists. */
  touch(key: string, ttl: number | undefined): Promise<boolean> {
    if (this.usesChunks) return this.#dispatcher.track(this.#touchWithChunks(key, ttl))
    return this.#touchItem(key, ttl)
  }

  delete(operation: string, key: string): Promise<boolean> {
    return this.#dispatcher.send(operation, key, (connection) =>
      connection.delete(operation, key, 0n, readExists),
    )
  }

  /** Returns how many items existed. */
  async deleteMany(keys: readonly string[]): Promise<number> {
    const existed = new Map(keys.map((key) => [key, true]))
    const uniqueKeys = [...existed.keys()]
    const failures = await this.#dispatcher.sendGroups(
      'deleteMany',
      uniqueKeys,
      (connection, group) =>
        connection.deleteMany('deleteMany', group.keys, (reply, index) => {
          if (!readExists(reply)) existed.set(group.keys[index] as string, false)
        }),
    )
    const results = keys.map((key) => existed.get(key))
    throwFailures('deleteMany', keys, failuresOf(keys, uniqueKeys, failures), results)
    return [...existed.values()].filter(Boolean).length
  }

  /** Returns the payload of a value, reading its chunks if it has any; `undefined` if one is missing. */
  async readChunks(operation: string, value: ItemValue | undefined): Promise<Payload | undefined> {
    if (!(value instanceof ChunkList)) return value
    const chunks = misses<Payload>(value.keys)
    const failures = await this.#dispatcher.getMany(operation, value.keys, chunks, readChunk)
    throwFirst(failures)
    return value.join(chunks)
  }

  /** Whether the payload may need several requests. */
  mayBeSplit(payload: Payload): boolean {
    return this.usesChunks && exceeds(payload, this.#minItemBytes)
  }

  /** @throws CacheError `ERR_CACHE_LIMIT` */
  assertFits(operation: string, key: string, payload: Payload): void {
    const { valueBytes } = this
    if (!exceeds(payload, valueBytes)) return
    const remedy = this.usesChunks ? undefined : chunkRemedy
    throw valueTooLarge('memcached', operation, key, payloadBytes(payload), valueBytes, remedy)
  }

  async #storeLarge<T>(
    operation: string,
    key: string,
    payload: Payload,
    write: ItemWrite<T>,
  ): Promise<T> {
    // A `set` that fails must not leave the old value, which the caller wanted to replace.
    const isReplacement = write.mode === 'set' && write.cas === undefined
    if (isReplacement && exceeds(payload, this.valueBytes)) await this.delete(operation, key)
    this.assertFits(operation, key, payload)
    const chunkList = await this.#storeChunks(operation, payload, write.ttl)
    const request = { ...storeRequest(key, chunkList.toString(), write), flags: flags.chunkList }
    return this.#dispatcher.send(operation, key, (connection) =>
      connection.store(operation, request, write.read),
    )
  }

  async #storeChunks(
    operation: string,
    payload: Payload,
    ttl: number | undefined,
  ): Promise<ChunkList> {
    const { chunkList, chunks } = split(payload, this.#maxChunkBytes)
    const exptime = toExptime(chunkTtl(ttl))
    const store = (connection: Connection, group: KeyGroup) => {
      const requests = group.keys.map((key, index) => ({
        mode: 'set' as const,
        key,
        payload: chunks[group.indexes[index] as number] as Buffer,
        flags: flags.chunk,
        exptime,
        cas: 0n,
      }))
      return connection.storeMany(operation, requests, readOk)
    }
    throwFirst(await this.#dispatcher.sendGroups(operation, chunkList.keys, store))
    return chunkList
  }

  async #getWithChunks(key: string): Promise<Payload | undefined> {
    const value = await this.#dispatcher.send('get', key, (connection) =>
      connection.get('get', key, readValue),
    )
    return this.readChunks('get', value)
  }

  async #getManyWithChunks(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    const values = misses<ItemValue>(keys)
    const failures = new Map(await this.#dispatcher.getMany('getMany', keys, values, readValue))
    const payloads = misses<Payload>(keys)
    const reads = values.map(async (value, index) => {
      try {
        payloads[index] = await this.readChunks('getMany', value)
      } catch (error) {
        failures.set(index, error)
      }
    })
    await Promise.all(reads)
    throwFailures('getMany', keys, failures, payloads)
    return payloads
  }

  #touchItem(key: string, ttl: number | undefined): Promise<boolean> {
    return this.#dispatcher.send('touch', key, (connection) =>
      connection.touch('touch', key, toExptime(ttl), readExists),
    )
  }

  async #touchWithChunks(key: string, ttl: number | undefined): Promise<boolean> {
    const value = await this.#dispatcher.send('touch', key, (connection) =>
      connection.getAndTouch('touch', key, toExptime(ttl), readValue),
    )
    if (!(value instanceof ChunkList)) return value !== undefined
    const touches = value.keys.map((chunkKey) => this.#touchItem(chunkKey, chunkTtl(ttl)))
    return (await Promise.all(touches)).every(Boolean)
  }

  /** The size of values that every node accepts as one item, also a node whose limit is not known yet. */
  get #minItemBytes(): number {
    const areConnected = this.#dispatcher.nodes.every(({ state }) => state === 'up')
    return areConnected ? this.#maxChunkBytes : 0
  }

  /** The size of the largest value of one item that all nodes accept. */
  get #maxChunkBytes(): number {
    let min = Infinity
    for (const { itemBytes } of this.#dispatcher.nodes) min = Math.min(min, itemBytes)
    return (min === Infinity ? defaultItemBytes : min) - itemOverheadBytes
  }
}

function misses<T>({ length }: readonly string[]): (T | undefined)[] {
  return new Array<T | undefined>(length).fill(undefined)
}

function isTooLarge(payload: Payload, { itemBytes }: Connection): boolean {
  return exceeds(payload, itemBytes - itemOverheadBytes)
}

function chunkTtl(ttl: number | undefined): number | undefined {
  return ttl === undefined ? undefined : ttl + extraChunkTtlMs
}

function storeRequest(
  key: string,
  payload: Payload,
  { mode, ttl, cas = 0n }: Omit<ItemWrite<unknown>, 'read'>,
): StoreRequest {
  const isEscaped = needsEscape(payload)
  return {
    mode,
    key,
    payload: isEscaped ? escaped(payload) : payload,
    flags: isEscaped ? flags.escaped : flags.plain,
    exptime: toExptime(ttl),
    cas,
  }
}

const daySeconds = 24 * 60 * 60
/** The server reads a larger number as a Unix time: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Expiration times" */
const maxRelativeSeconds = 30 * daySeconds
/** The server counts seconds since its start in a signed 32-bit integer. */
const maxUnixTime = 2 ** 31 - 1

/**
 * Converts a ttl in milliseconds to an exptime in whole seconds; 0 for no ttl. One second is added: the server's clock
 * ticks once a second, and an item stored just before a tick, such as a lock, would expire up to a second early.
 */
function toExptime(ttl: number | undefined): number {
  if (ttl === undefined) return 0
  const seconds = Math.ceil(ttl / 1_000) + 1
  if (seconds <= maxRelativeSeconds) return seconds
  return Math.min(Math.ceil(Date.now() / 1_000) + seconds, maxUnixTime)
}
