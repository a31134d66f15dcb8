import type { Payload } from '@stowage/core'
import type { WriteBuffer } from './write-buffer.ts'

/**
 * Status codes of a reply, with the values of the binary protocol:
 * https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped#response-status
 */
export const status = {
  ok: 0x00,
  missing: 0x01,
  exists: 0x02,
  tooLarge: 0x03,
  notStored: 0x05,
  notNumeric: 0x06,
  unauthorized: 0x20,
  unknownCommand: 0x81,
  failed: 0x84,
  outOfMemory: 0x82,
} as const

/** A reply. Valid only while it is delivered: the decoder reuses the object for the next reply. */
export interface Reply {
  readonly status: number
  /** The `opaque` of the request; `undefined` if the reply has none and belongs to the oldest request. */
  readonly opaque: number | undefined
  readonly kind: ReplyKind
  /** Whether it is the reply to a `noop`. */
  readonly isEnd: boolean
  readonly flags: number
  /** The unique id of this version of the item, which changes with every write. */
  readonly cas: bigint
  /** The value or the error message, as a view of the received bytes. */
  readonly value: Buffer
  /** The new value after an arithmetic request, unsigned. */
  readonly sum: bigint
  /** The seconds until the item expires, −1 for never; `undefined` if they were not requested. */
  readonly ttl: number | undefined
  /** Whether it is the reply for this key, where a batch of requests gets replies with keys. */
  isFor(key: string): boolean
  /** The name of a statistic; empty in the reply that ends the list. */
  readonly name: string
}

/**
 * What a reply belongs to, where it has no `opaque`. `'item'`: a request with a key; all replies of the binary protocol
 * that have an `opaque`. `'end'`: a `noop`. `'error'`: any request. The others are replies to one command only.
 */
export type ReplyKind = 'item' | 'end' | 'error' | 'ok' | 'stored' | 'version' | 'stat'

/** `'set'`: store in any case. `'add'`: only if the item is missing. */
export type StoreMode = 'set' | 'add'

export interface StoreRequest {
  readonly mode: StoreMode
  readonly key: string
  readonly payload: Payload
  readonly flags: number
  /** In seconds: relative up to 30 days, a Unix time beyond; 0 for never. */
  readonly exptime: number
  /** Store only if the item still has this id; 0 for any. */
  readonly cas: bigint
}

/**
 * Writes requests to a buffer. The reply repeats `opaque`. A quiet request gets a reply only if there is a value or an
 * error to report.
 */
export interface Protocol {
  readonly name: 'binary' | 'meta'
  get(out: WriteBuffer, key: string, opaque: number, quiet: boolean): void
  /** Returns the value like `get`, and the seconds until it expires. Absent where they cannot be read. */
  getWithTtl?(out: WriteBuffer, key: string, opaque: number): void
  /** The same without the value. */
  getTtl?(out: WriteBuffer, key: string, opaque: number): void
  /** Returns the value like `get`, and sets the expiry. */
  getAndTouch(out: WriteBuffer, key: string, exptime: number, opaque: number): void
  touch(out: WriteBuffer, key: string, exptime: number, opaque: number): void
  store(out: WriteBuffer, request: StoreRequest, opaque: number, quiet: boolean): void
  delete(out: WriteBuffer, key: string, cas: bigint, opaque: number, quiet: boolean): void
  /**
   * Adds `delta` to an unsigned 64-bit integer. The server stores 0 instead of a negative sum. Keeps the expiry, and
   * does not create an item. `cas` as in a {@link StoreRequest}.
   */
  arithmetic(out: WriteBuffer, key: string, delta: bigint, cas: bigint, opaque: number): void
  /** The server replies after all earlier requests. */
  noop(out: WriteBuffer, opaque: number): void
  /** Ends a batch of quiet requests, like `noop`, with a reply that has an opaque. */
  end(out: WriteBuffer, opaque: number): void
  flush(out: WriteBuffer, opaque: number): void
  version(out: WriteBuffer, opaque: number): void
  /** Requests a group of statistics, `''` for the general ones: one reply for each, and a last one without a name. */
  stats(out: WriteBuffer, group: '' | 'settings', opaque: number): void
  /** Sends the credentials, in a protocol that does not use SASL. */
  login?(out: WriteBuffer, username: string, password: string): void
  /** Creates the decoder of one connection. */
  decoder(): Decoder
}

export interface Decoder {
  /**
   * Decodes received data and calls `deliver` for each complete reply.
   * @throws ProtocolMismatchError for data in another protocol; the connection cannot be used after it
   */
  receive(data: Buffer, deliver: (reply: Reply) => void): void
}

/** The server replied with an error. */
export class ServerError extends Error {
  readonly status: number

  constructor(reply: Reply) {
    super(reply.value.toString('latin1', 0, 200).replace(/\.$/, '') || 'the request was rejected')
    this.status = reply.status
  }
}

/** The server sent data that is not in the protocol of the connection. */
export class ProtocolMismatchError extends Error {}

export const noBytes: Buffer = Buffer.alloc(0)
