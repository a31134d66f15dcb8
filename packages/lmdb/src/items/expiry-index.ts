import type { Environment } from '../file/environment.ts'
import type { FastBuffer } from '../file/library.ts'

const timeBytes = 6
const noValue = Buffer.alloc(1)
/** Times are stored in 6 bytes, so that the order of keys is the order of times. */
const maxTime = 2 ** 48 - 1
/** The longest key of an item, plus the time. */
const keyBuffer = Buffer.allocUnsafeSlow(4_096) as FastBuffer

/** A key whose item may have expired. */
export interface DueKey {
  readonly key: string
  /** The time under which it is in the index. */
  readonly indexedAt: number
}

/**
 * The keys of all items with an expiry, in the order of time. The time of a key is at most the expiry of its item: an
 * expiry that moves into the future leaves the index as it is, and the key is moved when its time has come. So a session
 * that is touched with every request costs one change per lifetime.
 */
export class ExpiryIndex {
  readonly #environment: Environment

  constructor(environment: Environment) {
    this.#environment = environment
  }

  add(key: string, time: number): void {
    this.#environment.expiry.put(encode(key, time), noValue)
  }

  remove(key: string, time: number): void {
    this.#environment.expiry.remove(encode(key, time))
  }

  /** Returns up to `count` keys whose time is at most `now`, for a write transaction. */
  due(now: number, count: number): DueKey[] {
    const range = this.#environment.expiry.getKeys({ end: encodeTime(now + 1), limit: count })
    return range.asArray.map(decode)
  }

  /** Whether the time of a key is at most `now`. */
  isDue(now: number): boolean {
    const { expiry, readAt } = this.#environment
    try {
      const [first] = expiry.getKeys({ limit: 1, ...readAt }).asArray
      return first !== undefined && decode(first).indexedAt <= now
    } finally {
      this.#environment.endRead()
    }
  }
}

function encode(key: string, time: number): Buffer {
  keyBuffer.writeUIntBE(Math.min(Math.ceil(time), maxTime), 0, timeBytes)
  return keyBuffer.subarray(0, timeBytes + keyBuffer.utf8Write(key, timeBytes))
}

function encodeTime(time: number): Buffer {
  const bytes = Buffer.alloc(timeBytes)
  bytes.writeUIntBE(Math.min(Math.max(0, Math.floor(time)), maxTime), 0, timeBytes)
  return bytes
}

function decode(bytes: Uint8Array): DueKey {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    key: buffer.toString('utf8', timeBytes),
    indexedAt: buffer.readUIntBE(0, timeBytes),
  }
}
