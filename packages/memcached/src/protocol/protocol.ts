import type { Payload } from '@stowage/core'
import type { Outbox } from './write-buffer.ts'

/**
 * What the server says to a request, in the numbers of the binary protocol:
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

/** An answer, readable only while it is being delivered: the next one has the same object. */
export interface Reply {
  readonly status: number
  /** The number of the request it answers; `undefined` where the server does not say, and it is that of the oldest. */
  readonly opaque: number | undefined
  /** Whether it answers a `noop`. */
  readonly isEnd: boolean
  readonly flags: number
  /** Changes with every change of the item. */
  readonly cas: bigint
  /** The value, or what the server has to say. A view of what was received. */
  readonly value: Buffer
  /** The sum of an arithmetic request, unsigned. */
  readonly sum: bigint
  /** The name of a setting; empty at the end of them. */
  readonly name: string
}

/** How an item is to be stored: unconditionally, where nothing lives, or in front of what lives there. */
export type StoreMode = 'set' | 'add' | 'prepend'

export interface StoreRequest {
  readonly mode: StoreMode
  readonly key: string
  readonly item: Payload
  readonly flags: number
  /** As the server takes it: relative up to 30 days, then a date; 0 for never. */
  readonly expiry: number
  /** Only if the item still has this one; 0 for any. */
  readonly cas: bigint
}

/**
 * Writes requests into an outbox. `opaque` is a number that comes back with the answer. A quiet request is answered
 * only where there is something to say: a value, a failure.
 */
export interface Protocol {
  readonly name: 'binary' | 'meta'
  get(out: Outbox, key: string, opaque: number, quiet: boolean): void
  /** Answers like `get`, and moves the expiry. */
  getAndTouch(out: Outbox, key: string, expiry: number, opaque: number): void
  touch(out: Outbox, key: string, expiry: number, opaque: number): void
  store(out: Outbox, request: StoreRequest, opaque: number, quiet: boolean): void
  delete(out: Outbox, key: string, cas: bigint, opaque: number, quiet: boolean): void
  /** Adds `delta` to an unsigned number of 64 bits, which wraps. Never creates. */
  arithmetic(out: Outbox, key: string, delta: bigint, opaque: number): void
  /** Answered when everything before it was; ends a batch of quiet ones. */
  noop(out: Outbox, opaque: number): void
  flush(out: Outbox, opaque: number): void
  version(out: Outbox, opaque: number): void
  /** The server's settings, one answer each and one without a name. */
  settings(out: Outbox, opaque: number): void
  /** Presents the credentials, where that is no matter of SASL. */
  login?(out: Outbox, username: string, password: string): void
  /** Makes what understands the answers on one connection. */
  decoder(): Decoder
}

export interface Decoder {
  /**
   * Takes what has arrived and calls `deliver` for each answer that is complete.
   * @throws Error for what is no answer in this protocol: nothing after it can be trusted
   */
  receive(piece: Buffer, deliver: (reply: Reply) => void): void
}

/** The server answered a request with an error. */
export class ServerError extends Error {
  readonly status: number

  constructor(reply: Reply) {
    super(reply.value.toString('latin1', 0, 200).replace(/\.$/, '') || 'refused')
    this.status = reply.status
  }
}

/** The server does not speak the protocol it was addressed in. */
export class OtherProtocol extends Error {}

export const noBytes: Buffer = Buffer.alloc(0)
