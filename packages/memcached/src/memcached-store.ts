import {
  type ByteStore,
  conflict,
  exceeds,
  Lifecycle,
  optimistically,
  oversized,
  type Payload,
  payloadBytes,
  type StoreLimits,
  samePayload,
  systemClock,
  Watchdog,
} from '@stowage/core'
import { type Connection, defaultItemBytes } from './connection.ts'
import { expiryOf } from './expiry.ts'
import { notACounter, translate } from './memcached-errors.ts'
import type { Node } from './node.ts'
import { type Found, Manifest, split } from './parts.ts'
import type { Reply, StoreMode, StoreRequest } from './protocol.ts'
import * as replies from './replies.ts'
import { counterPrefix, flags, guarded, needsGuard, signed, unsigned } from './representation.ts'

/** The server refuses longer ones: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Keys" */
const keyBytes = 250
/** What counts to an item's size beside its value: header, key, flags, the number of its change, the ends of key and value, a guard. */
const itemOverhead = 48 + (keyBytes + 1) + 4 + 8 + 2 + 1
/** Most parts of a payload that is too large for one item. */
const mostParts = 64

/** Where the node of a key comes from. */
export interface Router {
  readonly all: readonly Node[]
  /** `undefined` before the nodes are known. */
  of(key: string): Node | undefined
  /** Resolves when they are; settles in bounded time. */
  known(): Promise<void>
  close(): Promise<void>
}

type Command<T> = (connection: Connection) => Promise<T>

/** Keys that live on one node, and where they stand in the list they come from. */
interface Group {
  readonly keys: string[]
  readonly indexes: number[]
}

/** Entries as items of memcached, on the node the ring gives their key. */
export class MemcachedStore implements ByteStore {
  readonly name = 'memcached'
  readonly payload = 'bytes'
  readonly #router: Router
  readonly #inParts: boolean
  readonly #lifecycle = new Lifecycle('memcached')
  /** Calls that are not just one request. */
  readonly #underWay = new Watchdog(Infinity, () => {})

  constructor(router: Router, oversize: 'reject' | 'chunk') {
    this.#router = router
    this.#inParts = oversize === 'chunk'
  }

  get limits(): StoreLimits {
    const valueBytes = this.#itemLimit * (this.#inParts ? mostParts : 1)
    return { keyBytes, valueBytes, ttlStep: 1_000 }
  }

  get(key: string): Promise<Payload | undefined> {
    this.#lifecycle.assertOpen('get')
    if (this.#inParts) return this.#tracked(this.#getWhole(key))
    return this.#send('get', key, (connection) => connection.get('get', key, replies.readPayload))
  }

  async getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    if (!this.#inParts) return this.#read('getMany', keys, replies.readPayload)
    return this.#tracked(this.#getManyWhole(keys))
  }

  set(key: string, item: Payload, ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('set')
    return this.#store('set', 'set', key, item, ttl, 0n, replies.readAnything)
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const items = new Map(entries)
    await this.#inGroups('setMany', [...items.keys()], async (connection, { keys }) => {
      const isLarge = (key: string) => this.#exceeds(items.get(key) as Payload, connection)
      const small = keys.filter((key) => !isLarge(key))
      const requests = small.map((key) => request('set', key, items.get(key) as Payload, ttl))
      const large = keys.filter(isLarge).map((key) => {
        const item = items.get(key) as Payload
        return this.#storeLarge('setMany', 'set', key, item, ttl, 0n, replies.readAnything)
      })
      await settled([...large, connection.storeMany('setMany', requests, replies.readAnything)])
    })
  }

  add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('add')
    return this.#store('add', 'add', key, item, ttl, 0n, replies.readAdded)
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    this.#lifecycle.assertOpen('compareAndSet')
    return this.#tracked(
      optimistically('compareAndSet', systemClock, () => this.#swap(key, expected, next, ttl)),
    )
  }

  async increment(key: string, by: number, ttl?: number): Promise<number> {
    this.#lifecycle.assertOpen('increment')
    return this.#tracked(optimistically('increment', systemClock, () => this.#count(key, by, ttl)))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    this.#lifecycle.assertOpen('touch')
    if (this.#inParts) return this.#tracked(this.#touchWhole(key, ttl))
    return this.#touchItem(key, ttl)
  }

  delete(key: string): Promise<boolean> {
    this.#lifecycle.assertOpen('delete')
    return this.#send('delete', key, (connection) =>
      connection.delete('delete', key, 0n, replies.isThere),
    )
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    this.#lifecycle.assertOpen('deleteMany')
    const each = [...new Set(keys)]
    let missing = 0
    await this.#inGroups('deleteMany', each, (connection, group) =>
      connection.deleteMany('deleteMany', group.keys, (reply) => {
        if (!replies.isThere(reply)) missing++
      }),
    )
    return each.length - missing
  }

  async clear(): Promise<void> {
    await this.#onEach('clear', (connection) => connection.flushAll('clear'))
  }

  async ping(): Promise<void> {
    await this.#onEach('ping', (connection) => connection.noop('ping'))
  }

  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      await this.#underWay.idle()
      await this.#router.close()
    })
  }

  /** Sends a request to the node of the key, at once where that is up. */
  #send<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    const connection = this.#router.of(key)?.connection
    if (connection !== undefined) return command(connection)
    return this.#tracked(this.#sendLater(operation, key, command))
  }

  async #sendLater<T>(operation: string, key: string, command: Command<T>): Promise<T> {
    try {
      if (this.#router.of(key) === undefined) await this.#router.known()
      const connection = await (this.#router.of(key) as Node).ready()
      return await command(connection)
    } catch (error) {
      throw translate(error, operation, key)
    }
  }

  /** Sends each node the keys that live there. All have settled when one has failed. */
  #inGroups(
    operation: string,
    keys: readonly string[],
    command: (connection: Connection, group: Group) => Promise<void>,
  ): Promise<void> {
    const send = async () => {
      try {
        if (this.#router.all.length === 0) await this.#router.known()
        const sent = [...this.#groups(keys)].map(async ([node, group]) =>
          command(node.connection ?? (await node.ready()), group),
        )
        await settled(sent)
      } catch (error) {
        throw translate(error, operation)
      }
    }
    return this.#tracked(send())
  }

  async #onEach(operation: string, command: Command<void>): Promise<void> {
    this.#lifecycle.assertOpen(operation)
    const send = async () => {
      try {
        if (this.#router.all.length === 0) await this.#router.known()
        await settled(this.#router.all.map(async (node) => command(await node.ready())))
      } catch (error) {
        throw translate(error, operation)
      }
    }
    return this.#tracked(send())
  }

  #groups(keys: readonly string[]): Map<Node, Group> {
    const groups = new Map<Node, Group>()
    for (const [index, key] of keys.entries()) {
      const node = this.#router.of(key) as Node
      const group = groups.get(node)
      if (group === undefined) groups.set(node, { keys: [key], indexes: [index] })
      else {
        group.keys.push(key)
        group.indexes.push(index)
      }
    }
    return groups
  }

  async #read<T>(
    operation: string,
    keys: readonly string[],
    read: (reply: Reply) => T | undefined,
  ): Promise<(T | undefined)[]> {
    const found = new Array<T | undefined>(keys.length).fill(undefined)
    await this.#inGroups(operation, keys, (connection, { keys: own, indexes }) =>
      connection.getMany(operation, own, (reply, index) => {
        found[indexes[index] as number] = read(reply)
      }),
    )
    return found
  }

  #store<T>(
    operation: string,
    mode: StoreMode,
    key: string,
    item: Payload,
    ttl: number | undefined,
    cas: bigint,
    read: (reply: Reply) => T,
  ): Promise<T> {
    return this.#send(operation, key, (connection) =>
      this.#exceeds(item, connection)
        ? this.#tracked(this.#storeLarge(operation, mode, key, item, ttl, cas, read))
        : connection.store(operation, request(mode, key, item, ttl, cas), read),
    )
  }

  async #storeLarge<T>(
    operation: string,
    mode: StoreMode,
    key: string,
    item: Payload,
    ttl: number | undefined,
    cas: bigint,
    read: (reply: Reply) => T,
  ): Promise<T> {
    const { valueBytes } = this.limits
    if (exceeds(item, valueBytes)) {
      // What was to be replaced must not be served as if nothing had happened.
      if (mode === 'set' && cas === 0n) await this.#deleteItem(operation, key)
      throw oversized(this.name, operation, key, payloadBytes(item), valueBytes)
    }
    const manifest = await this.#storeParts(operation, item, ttl)
    const list = { ...request(mode, key, manifest.toString(), ttl, cas), flags: flags.manifest }
    return this.#send(operation, key, (connection) => connection.store(operation, list, read))
  }

  async #storeParts(operation: string, item: Payload, ttl: number | undefined): Promise<Manifest> {
    const { manifest, parts } = split(item, this.#itemLimit)
    // The list is written later and must not outlive them.
    const longer = ttl === undefined ? undefined : ttl + 2_000
    await this.#inGroups(operation, manifest.keys, (connection, { keys, indexes }) => {
      const requests = keys.map((key, index) => ({
        ...request('set', key, '', longer),
        item: parts[indexes[index] as number] as Buffer,
        flags: flags.part,
      }))
      return connection.storeMany(operation, requests, replies.readAnything)
    })
    return manifest
  }

  async #getWhole(key: string): Promise<Payload | undefined> {
    const found = await this.#send('get', key, (connection) =>
      connection.get('get', key, replies.readFound),
    )
    return this.#whole('get', found)
  }

  async #getManyWhole(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    const found = await this.#read('getMany', keys, replies.readFound)
    return Promise.all(found.map((each) => this.#whole('getMany', each)))
  }

  async #whole(operation: string, found: Found | undefined): Promise<Payload | undefined> {
    if (!(found instanceof Manifest)) return found
    return found.join(await this.#read(operation, found.keys, replies.readPart))
  }

  #touchItem(key: string, ttl: number | undefined): Promise<boolean> {
    return this.#send('touch', key, (connection) =>
      connection.touch('touch', key, expiryOf(ttl), replies.isThere),
    )
  }

  async #touchWhole(key: string, ttl: number | undefined): Promise<boolean> {
    const found = await this.#send('touch', key, (connection) =>
      connection.getAndTouch('touch', key, expiryOf(ttl), replies.readFound),
    )
    if (!(found instanceof Manifest)) return found !== undefined
    const longer = ttl === undefined ? undefined : ttl + 2_000
    const touched = await Promise.all(found.keys.map((part) => this.#touchItem(part, longer)))
    return touched.every(Boolean)
  }

  #deleteItem(operation: string, key: string): Promise<boolean> {
    return this.#send(operation, key, (connection) =>
      connection.delete(operation, key, 0n, replies.isThere),
    )
  }

  /** One attempt to replace what was expected. */
  async #swap(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl: number | undefined,
  ): Promise<boolean | typeof conflict> {
    const operation = 'compareAndSet'
    if (next !== undefined) this.#assertFits(operation, key, next)
    const seen = await this.#send(operation, key, (connection) =>
      connection.get(operation, key, replies.readSeen),
    )
    const item = await this.#whole(operation, seen?.found)
    if (seen === undefined || item === undefined || !samePayload(item, expected)) return false
    const outcome = await (next === undefined
      ? this.#send(operation, key, (connection) =>
          connection.delete(operation, key, seen.cas, replies.readOutcome),
        )
      : this.#store(operation, 'set', key, next, ttl, seen.cas, replies.readOutcome))
    return outcome === 'changed' ? conflict : outcome === 'done'
  }

  /** One attempt to count: by the server, unless there is nothing to count with yet. */
  async #count(
    key: string,
    by: number,
    ttl: number | undefined,
  ): Promise<number | typeof conflict> {
    const sum = await this.#add(key, unsigned(by))
    if (sum === 'missing') {
      const isFirst = await this.#store(
        'increment',
        'add',
        key,
        `${by}`,
        ttl,
        0n,
        replies.readAdded,
      )
      // There is no negative zero.
      return isFirst ? by + 0 : conflict
    }
    if (sum === 'refused') {
      await this.#makeCounter(key)
      return conflict
    }
    const total = Number(signed(sum))
    if (Number.isSafeInteger(total)) return total
    await this.#add(key, unsigned(-by))
    throw notACounter(key)
  }

  #add(key: string, delta: bigint): Promise<ReturnType<typeof replies.readSum>> {
    return this.#send('increment', key, (connection) =>
      connection.arithmetic('increment', key, delta, replies.readSum),
    )
  }

  /** Has the server count on from a negative number that was set. The expiry stays, which no other write would leave. */
  async #makeCounter(key: string): Promise<void> {
    const seen = await this.#send('increment', key, (connection) =>
      connection.get('increment', key, replies.readSeen),
    )
    if (seen === undefined) return
    const prefix = seen.found instanceof Manifest ? undefined : counterPrefix(seen.found)
    if (prefix === undefined) throw notACounter(key)
    await this.#store('increment', 'prepend', key, prefix, undefined, seen.cas, replies.readOutcome)
  }

  /** Largest value of one item that every node takes. */
  get #itemLimit(): number {
    const items = this.#router.all.map(({ itemBytes }) => itemBytes)
    return Math.min(...items, items.length > 0 ? Infinity : defaultItemBytes) - itemOverhead
  }

  #exceeds(item: Payload, { itemBytes }: Connection): boolean {
    return exceeds(item, itemBytes - itemOverhead)
  }

  #assertFits(operation: string, key: string, item: Payload): void {
    const { valueBytes } = this.limits
    if (!exceeds(item, valueBytes)) return
    throw oversized(this.name, operation, key, payloadBytes(item), valueBytes)
  }

  /** A call that takes more than one step: `close()` waits for it. */
  async #tracked<T>(call: Promise<T>): Promise<T> {
    this.#underWay.sent()
    try {
      return await call
    } finally {
      this.#underWay.answered()
    }
  }
}

function request(
  mode: StoreMode,
  key: string,
  item: Payload,
  ttl: number | undefined,
  cas = 0n,
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

/** Waits for all, then fails if one has. */
async function settled(calls: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(calls)
  await Promise.all(calls)
}
