import { CacheError } from '@stowage/core'
import { conflict, notACounter, parseSafeInteger } from '@stowage/core/driver'
import { KeyOrder } from '@stowage/core/internal'
import type { Connection } from '../connection/connection.ts'
import type { Dispatcher } from '../nodes/dispatcher.ts'
import type { Reply } from '../protocol/protocol.ts'
import { readAdded, readCasOutcome, readExists, readSum } from '../protocol/status-replies.ts'
import { escaped, flags, maxPlainCounter } from '../values/value-format.ts'
import type { Items } from './items.ts'
import { maxCounterBytes, readUnchanged } from './read-unchanged.ts'

const operation = 'increment'
/** The largest number that is added without a look at the counter. Far less than what a plain counter lacks to 2^53. */
const maxBlindDelta = 2 ** 31
/** The server's counters are unsigned 64-bit integers. */
const modulus = 1n << 64n

/** Whether a counter is always read before the number is added to it. */
export function isReadFirst(by: number): boolean {
  return by < 0 || by > maxBlindDelta
}

/**
 * Signed counters, stored as decimal text. The server adds to an unsigned number, wraps around at 2^64, stores 0 instead
 * of a negative number and pads a number that becomes shorter. So it adds only where the sum is exact, and otherwise the
 * counter is replaced if it has not changed. Such a replacement needs the expiry of the item, which only meta commands
 * return.
 */
export class Counters {
  readonly #dispatcher: Dispatcher
  readonly #items: Items
  /** Only one replacement of a counter is in flight per process, so that a process does not compete with itself. */
  readonly #replacements = new KeyOrder()

  constructor(dispatcher: Dispatcher, items: Items) {
    this.#dispatcher = dispatcher
    this.#items = items
  }

  /** One attempt to increment a counter, or to create it. */
  async tryIncrement(
    key: string,
    by: number,
    ttl: number | undefined,
  ): Promise<number | typeof conflict> {
    if (isReadFirst(by)) return this.#incrementSeen(key, by, ttl)
    const sum = await this.#add(key, BigInt(by))
    if (sum === 'missing') return this.#create(key, by, ttl)
    if (sum === 'not-numeric') return this.#incrementSeen(key, by, ttl)
    const isPlainSum = sum <= maxPlainCounter && sum >= by
    return isPlainSum ? Number(sum) : this.#checkLargeSum(key, by, sum)
  }

  #add(key: string, by: bigint): Promise<ReturnType<typeof readSum>> {
    return this.#dispatcher.send(operation, key, (connection) =>
      connection.arithmetic(operation, key, by, 0n, readSum),
    )
  }

  async #create(
    key: string,
    by: number,
    ttl: number | undefined,
  ): Promise<number | typeof conflict> {
    const write = { mode: 'add', ttl, read: readAdded } as const
    const isAdded = await this.#items.store(operation, key, `${by}`, write)
    // Adding 0 turns −0 into 0.
    return isAdded ? by + 0 : conflict
  }

  /** After a sum that other clients, or very many increments, have made possible. */
  async #checkLargeSum(key: string, by: number, sum: bigint): Promise<number> {
    const total = Number(sum)
    if (!Number.isSafeInteger(total) || total < by) {
      await this.#undo(key, BigInt(by), sum)
      throw notSafe(key)
    }
    // Stored in the form that the server does not increment. It is only a precaution: the sum is right.
    await this.#replace(key, 0).catch(() => {})
    return total
  }

  /** A sum that is less than `by` has wrapped around, and wraps back. */
  async #undo(key: string, by: bigint, sum: bigint): Promise<void> {
    await this.#add(key, sum < by ? modulus - by : -by)
  }

  #incrementSeen(
    key: string,
    by: number,
    ttl: number | undefined,
  ): Promise<number | typeof conflict> {
    return this.#replacements.run([key], true, async () => {
      const counter = await this.#dispatcher.send(operation, key, (connection) =>
        readUnchanged(() => connection.get(operation, key, readCounter)),
      )
      if (counter === conflict) return conflict
      if (counter === undefined) return this.#create(key, by, ttl)
      const total = sumOf(key, counter, by)
      if (isExactOnServer(counter, total)) return this.#addSeen(key, by, counter, total)
      try {
        return await this.#replace(key, by)
      } catch (error) {
        // Without meta commands, padding is better than a counter that cannot be decremented.
        if (!isUnsupported(error) || !isPlain(counter, total)) throw error
        return this.#addSeen(key, by, counter, total)
      }
    })
  }

  /** Adds on the server, unless the counter has changed. Keeps the expiry. */
  async #addSeen(
    key: string,
    by: number,
    { cas }: Counter,
    total: number,
  ): Promise<number | typeof conflict> {
    const outcome = await this.#dispatcher.send(operation, key, (connection) =>
      connection.arithmetic(operation, key, BigInt(by), cas, readCasOutcome),
    )
    return outcome === 'done' ? total : conflict
  }

  /** Replaces the counter by a sum that the server cannot add, and keeps its expiry. */
  #replace(key: string, by: number): Promise<number | typeof conflict> {
    return this.#dispatcher.sendMeta(operation, key, async (connection) => {
      const counter = await readWithExptime(connection, key)
      if (counter === undefined || counter === conflict) return conflict
      const total = sumOf(key, counter, by)
      const request = { mode: 'set', key, ...formatOf(counter, total), cas: counter.cas } as const
      const { exptime } = counter
      const outcome = await connection.store(operation, { ...request, exptime }, readCasOutcome)
      return outcome === 'done' ? total : conflict
    })
  }
}

/**
 * Reads a counter with its expiry as a Unix time. The time of the server is requested between two reads of the seconds that
 * remain, so that a counter does not live longer with each replacement.
 */
async function readWithExptime(
  connection: Connection,
  key: string,
): Promise<(Counter & { readonly exptime: number }) | undefined | typeof conflict> {
  const read = () => connection.getWithTtl(operation, key, readCounter)
  let timeRead!: Promise<number>
  const unchanged = readUnchanged(read, () => {
    timeRead = connection.time(operation)
  })
  const [counter, time] = await Promise.all([unchanged, timeRead])
  if (counter === undefined || counter === conflict) return counter
  const { ttl = -1 } = counter
  return { ...counter, exptime: ttl < 0 ? 0 : time + ttl }
}

/** @throws CacheError `ERR_CACHE_REJECTED` */
function sumOf(key: string, { value }: Counter, by: number): number {
  if (value === undefined) {
    throw notACounter('memcached', key, 'the stored value is not an integer')
  }
  const total = value + by
  if (!Number.isSafeInteger(total)) throw notSafe(key)
  return total
}

function notSafe(key: string): CacheError {
  return notACounter('memcached', key, 'the sum is not a safe integer')
}

/** Whether the server stores exactly the text of the sum. */
function isExactOnServer(counter: Counter, total: number): boolean {
  return isPlain(counter, total) && `${total}`.length >= counter.bytes
}

/** Whether the server can add: neither the counter nor the sum is negative or too large. */
function isPlain({ value = -1, flags: itemFlags }: Counter, total: number): boolean {
  return value >= 0 && total >= 0 && total <= maxPlainCounter && itemFlags !== flags.escaped
}

/** Keeps the flags of other clients, which identify integers by them. */
function formatOf(counter: Counter, total: number): { payload: string | Buffer; flags: number } {
  const text = `${total}`
  if (total > maxPlainCounter) return { payload: escaped(text), flags: flags.escaped }
  return { payload: text, flags: counter.flags === flags.escaped ? flags.plain : counter.flags }
}

function isUnsupported(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_UNSUPPORTED'
}

/** An item that is incremented. */
interface Counter {
  /** `undefined` if the item does not contain a safe integer. */
  readonly value: number | undefined
  /** The size of the stored value. */
  readonly bytes: number
  readonly flags: number
  readonly cas: bigint
  /** The seconds until it expires, −1 for never; `undefined` if they were not requested. */
  readonly ttl: number | undefined
}

function readCounter(reply: Reply): Counter | undefined {
  if (!readExists(reply)) return undefined
  const { flags: itemFlags, cas, ttl, value } = reply
  return { value: integerOf(value, itemFlags), bytes: value.length, flags: itemFlags, cas, ttl }
}

function integerOf(value: Buffer, itemFlags: number): number | undefined {
  if (itemFlags === flags.chunkList || value.length > maxCounterBytes) return undefined
  const text = value.toString('latin1')
  if (itemFlags === flags.escaped) return parseSafeInteger(text.slice(1))
  // The server pads a number that becomes shorter, when another client decrements it.
  return parseSafeInteger(text.trimEnd())
}
