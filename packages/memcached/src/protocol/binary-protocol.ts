import { itemName, mayNeedDigest } from './item-name.ts'
import {
  type Decoder,
  noBytes,
  type Protocol,
  ProtocolMismatchError,
  type Reply,
  type ReplyKind,
} from './protocol.ts'
import { maxReplyBytes, ReadBuffer } from './read-buffer.ts'
import { roomForPayload, roomForText, type WriteBuffer, writeText } from './write-buffer.ts'

/** https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped#command-opcodes */
const opcode = {
  get: 0x00,
  set: 0x01,
  add: 0x02,
  delete: 0x04,
  increment: 0x05,
  decrement: 0x06,
  flush: 0x08,
  noop: 0x0a,
  version: 0x0b,
  getWithKeyQuiet: 0x0d,
  stat: 0x10,
  setQuiet: 0x11,
  addQuiet: 0x12,
  deleteQuiet: 0x14,
  touch: 0x1c,
  getAndTouch: 0x1d,
} as const

const modes = {
  set: [opcode.set, opcode.setQuiet],
  add: [opcode.add, opcode.addQuiet],
} as const

const headerBytes = 24
const magicRequest = 0x80
const magicReply = 0x81
/** An arithmetic request with this expiry does not create an item. */
const neverCreate = 0xffffffff

function uint32(block: Buffer, at: number, value: number): void {
  block[at] = value >>> 24
  block[at + 1] = value >>> 16
  block[at + 2] = value >>> 8
  block[at + 3] = value
}

function readUint16(block: Buffer, at: number): number {
  return ((block[at] as number) << 8) | (block[at + 1] as number)
}

function readUint32(block: Buffer, at: number): number {
  return ((readUint16(block, at) << 16) | readUint16(block, at + 2)) >>> 0
}

/** Writes every byte of the header, because the block may contain old data. */
function header(
  block: Buffer,
  at: number,
  code: number,
  keyBytes: number,
  extras: number,
  bodyBytes: number,
  opaque: number,
): void {
  block[at] = magicRequest
  block[at + 1] = code
  block[at + 2] = keyBytes >>> 8
  block[at + 3] = keyBytes
  block[at + 4] = extras
  block[at + 5] = 0
  block[at + 6] = 0
  block[at + 7] = 0
  uint32(block, at + 8, bodyBytes)
  uint32(block, at + 12, opaque)
  uint32(block, at + 16, 0)
  uint32(block, at + 20, 0)
}

/** Writes a request up to its key, with `room` for a value after it. Returns where the request starts. */
function keyed(
  out: WriteBuffer,
  code: number,
  key: string,
  extras: number,
  opaque: number,
  room = 0,
): number {
  out.reserve(headerBytes + extras + roomForText(key) + room)
  const { block, end } = out
  const keyAt = end + headerBytes + extras
  const keyBytes = mayNeedDigest(key)
    ? writeName(block, itemName(key), keyAt)
    : writeText(block, key, keyAt)
  header(block, end, code, keyBytes, extras, keyBytes + extras, opaque)
  out.end = end + headerBytes + extras + keyBytes
  return end
}

function writeName(block: Buffer, name: string | Buffer, at: number): number {
  return typeof name === 'string' ? writeText(block, name, at) : name.copy(block, at)
}

export const binary: Protocol = {
  name: 'binary',

  get(out, key, opaque, quiet) {
    keyed(out, quiet ? opcode.getWithKeyQuiet : opcode.get, key, 0, opaque)
  },

  getAndTouch(out, key, exptime, opaque) {
    const at = keyed(out, opcode.getAndTouch, key, 4, opaque)
    uint32(out.block, at + headerBytes, exptime)
  },

  touch(out, key, exptime, opaque) {
    const at = keyed(out, opcode.touch, key, 4, opaque)
    uint32(out.block, at + headerBytes, exptime)
  },

  store(out, request, opaque, quiet) {
    const { mode, key, payload, flags, exptime, cas } = request
    const code = modes[mode][quiet ? 1 : 0]
    const at = keyed(out, code, key, 8, opaque, roomForPayload(payload))
    const { block, end } = out
    uint32(block, at + headerBytes, flags)
    uint32(block, at + headerBytes + 4, exptime)
    if (cas !== 0n) block.writeBigUInt64BE(cas, at + 16)
    uint32(block, at + 8, end - at - headerBytes + out.append(payload))
  },

  delete(out, key, cas, opaque, quiet) {
    const at = keyed(out, quiet ? opcode.deleteQuiet : opcode.delete, key, 0, opaque)
    if (cas !== 0n) out.block.writeBigUInt64BE(cas, at + 16)
  },

  arithmetic(out, key, delta, cas, opaque) {
    const code = delta < 0 ? opcode.decrement : opcode.increment
    const at = keyed(out, code, key, 20, opaque)
    const { block } = out
    if (cas !== 0n) block.writeBigUInt64BE(cas, at + 16)
    block.writeBigUInt64BE(delta < 0 ? -delta : delta, at + headerBytes)
    block.writeBigUInt64BE(0n, at + headerBytes + 8)
    uint32(block, at + headerBytes + 16, neverCreate)
  },

  noop(out, opaque) {
    keyed(out, opcode.noop, '', 0, opaque)
  },

  end(out, opaque) {
    keyed(out, opcode.noop, '', 0, opaque)
  },

  flush(out, opaque) {
    keyed(out, opcode.flush, '', 0, opaque)
  },

  version(out, opaque) {
    keyed(out, opcode.version, '', 0, opaque)
  },

  stats(out, group, opaque) {
    keyed(out, opcode.stat, group, 0, opaque)
  },

  decoder: () => new BinaryDecoder(),
}

/** Reads replies in place, and creates a value, a name or a number only when a getter is used. */
class BinaryDecoder implements Decoder, Reply {
  readonly #buffer = new ReadBuffer()
  status = 0
  opaque = 0
  kind: ReplyKind = 'item'
  isEnd = false
  readonly ttl = undefined
  flags = 0
  /** The bytes of the current reply, and the offsets of its header, its key, its value and its end. */
  #bytes: Buffer = noBytes
  #at = 0
  #keyAt = 0
  #valueAt = 0
  #end = 0

  receive(data: Buffer, deliver: (reply: Reply) => void): void {
    this.#buffer.append(data, (bytes) => this.#decode(bytes, deliver))
  }

  #decode(bytes: Buffer, deliver: (reply: Reply) => void): void {
    this.#bytes = bytes
    let at = 0
    let needed = headerBytes
    while (at + headerBytes <= bytes.length) {
      if (bytes[at] !== magicReply) throw mismatch()
      needed = headerBytes + readUint32(bytes, at + 8)
      if (needed > maxReplyBytes) throw mismatch()
      if (at + needed > bytes.length) break
      this.#read(bytes, at, needed)
      at += needed
      needed = headerBytes
      deliver(this)
    }
    if (at < bytes.length && bytes[at] !== magicReply) throw mismatch()
    this.#buffer.retain(bytes.subarray(at), needed)
  }

  get cas(): bigint {
    return this.#bytes.readBigUInt64BE(this.#at + 16)
  }

  get value(): Buffer {
    return this.#bytes.subarray(this.#valueAt, this.#end)
  }

  get sum(): bigint {
    if (this.#end - this.#valueAt !== 8) throw mismatch()
    return this.#bytes.readBigUInt64BE(this.#valueAt)
  }

  get name(): string {
    return this.#bytes.toString('latin1', this.#keyAt, this.#valueAt)
  }

  isFor(key: string): boolean {
    const bytes = this.#bytes
    const length = this.#valueAt - this.#keyAt
    if (length !== key.length) return this.#isForName(key)
    for (let i = 0; i < length; i++) {
      if (bytes[this.#keyAt + i] !== key.charCodeAt(i)) return this.#isForName(key)
    }
    return true
  }

  /** The same for a key that is not sent as ASCII. */
  #isForName(key: string): boolean {
    return Buffer.from(itemName(key) as string).equals(
      this.#bytes.subarray(this.#keyAt, this.#valueAt),
    )
  }

  #read(bytes: Buffer, at: number, length: number): void {
    const extras = bytes[at + 4] as number
    this.status = readUint16(bytes, at + 6)
    this.opaque = readUint32(bytes, at + 12)
    this.isEnd = bytes[at + 1] === opcode.noop
    this.kind = this.isEnd ? 'end' : 'item'
    this.flags = extras < 4 ? 0 : readUint32(bytes, at + headerBytes)
    this.#at = at
    this.#keyAt = at + headerBytes + extras
    this.#valueAt = this.#keyAt + readUint16(bytes, at + 2)
    this.#end = at + length
    if (this.#valueAt > this.#end) throw mismatch()
  }
}

function mismatch(): ProtocolMismatchError {
  return new ProtocolMismatchError('the reply is not in the binary protocol')
}
