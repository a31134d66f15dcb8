import { payloadBytes } from '@stowage/core/driver'
import { itemName, needsEncoding } from './item-name.ts'
import { MetaDecoder } from './meta-decoder.ts'
import type { Protocol } from './protocol.ts'
import { roomForPayload, roomForText, type WriteBuffer, writeText } from './write-buffer.ts'

/**
 * The flags of `ms` for each mode. Meta commands are text, for servers without the binary protocol, such as ElastiCache
 * Serverless: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Meta Commands"
 */
const modes = { set: '', add: ' ME' } as const

/** The flag of a base64 key. */
const encoded = ' b'
/** A key that does not exist. If it does, its value is ignored. */
export const probeKey = '~stowage:probe'
/** Room for the words and numbers of a command, without its key. */
const wordBytes = 160

/** Starts a command, with room for the whole command and a value. Returns whether the key had to be encoded. */
function begin(out: WriteBuffer, verb: string, key: string, valueBytes = 0): boolean {
  out.reserve(wordBytes + roomForText(key) + valueBytes)
  write(out, verb)
  return writeKey(out, key)
}

/** Starts a command and writes the flag of an encoded key. Other flags may follow. */
function command(out: WriteBuffer, verb: string, key: string): void {
  if (begin(out, verb, key)) write(out, encoded)
}

/** Writes a command without a key. */
function line(out: WriteBuffer, text: string): void {
  out.reserve(roomForText(text))
  write(out, text)
}

function write(out: WriteBuffer, text: string): void {
  out.end += writeText(out.block, text, out.end)
}

function writeNumber(out: WriteBuffer, number: number): void {
  const { block } = out
  let digits = 1
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits++
  out.end += digits
  let rest = number
  for (let at = out.end - 1; digits > 0; at--, digits--) {
    const shorter = Math.floor(rest / 10)
    block[at] = 48 + rest - shorter * 10
    rest = shorter
  }
}

/** Writes the opaque, which the reply repeats, and the end of the command. */
function finish(out: WriteBuffer, opaque: number, quiet: boolean): void {
  write(out, ' O')
  writeNumber(out, opaque)
  write(out, quiet ? ' q\r\n' : '\r\n')
}

/** Writes the key, in base64 if it contains characters that text must not contain. Returns whether it did. */
function writeKey(out: WriteBuffer, key: string): boolean {
  const { block, end } = out
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f) return writeOtherKey(out, key)
    block[end + i] = code
  }
  out.end += key.length
  return false
}

/** Writes a key with other characters than printable ASCII. Non-ASCII characters alone need no encoding. */
function writeOtherKey(out: WriteBuffer, key: string): boolean {
  const isEncoded = needsEncoding(key)
  write(out, isEncoded ? encode(itemName(key)) : key)
  return isEncoded
}

function encode(name: string | Buffer): string {
  return Buffer.from(name as string).toString('base64')
}

export const meta: Protocol = {
  name: 'meta',

  get(out, key, opaque, quiet) {
    command(out, 'mg ', key)
    write(out, ' v f c')
    finish(out, opaque, quiet)
  },

  getWithTtl(out, key, opaque) {
    command(out, 'mg ', key)
    write(out, ' v f c t')
    finish(out, opaque, false)
  },

  getTtl(out, key, opaque) {
    command(out, 'mg ', key)
    write(out, ' c t')
    finish(out, opaque, false)
  },

  getAndTouch(out, key, exptime, opaque) {
    command(out, 'mg ', key)
    write(out, ' v f c T')
    writeNumber(out, exptime)
    finish(out, opaque, false)
  },

  touch(out, key, exptime, opaque) {
    command(out, 'mg ', key)
    write(out, ' T')
    writeNumber(out, exptime)
    finish(out, opaque, false)
  },

  store(out, { mode, key, payload, flags, exptime, cas }, opaque, quiet) {
    const isEncoded = begin(out, 'ms ', key, roomForPayload(payload))
    write(out, ' ')
    writeNumber(out, payloadBytes(payload))
    if (isEncoded) write(out, encoded)
    write(out, ' F')
    writeNumber(out, flags)
    write(out, ' T')
    writeNumber(out, exptime)
    write(out, modes[mode])
    if (cas !== 0n) write(out, ` C${cas}`)
    finish(out, opaque, quiet)
    out.append(payload)
    line(out, '\r\n')
  },

  // Never quiet: whether `q` suppresses the reply to a hit or to a miss depends on the version of the server.
  delete(out, key, cas, opaque) {
    command(out, 'md ', key)
    if (cas !== 0n) write(out, ` C${cas}`)
    finish(out, opaque, false)
  },

  arithmetic(out, key, delta, cas, opaque) {
    command(out, 'ma ', key)
    write(out, delta < 0 ? ` MD D${-delta}` : ` D${delta}`)
    if (cas !== 0n) write(out, ` C${cas}`)
    write(out, ' v')
    finish(out, opaque, false)
  },

  noop(out) {
    line(out, 'mn\r\n')
  },

  end(out, opaque) {
    command(out, 'mg ', probeKey)
    finish(out, opaque, false)
  },

  flush(out) {
    line(out, 'flush_all\r\n')
  },

  version(out) {
    line(out, 'version\r\n')
  },

  stats(out, group) {
    line(out, group === '' ? 'stats\r\n' : `stats ${group}\r\n`)
  },

  /** `memcached -Y`: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Authentication" */
  login(out, username, password) {
    const text = `${username} ${password}`
    line(out, `set auth 0 0 ${Buffer.byteLength(text)}\r\n${text}\r\n`)
  },

  decoder: () => new MetaDecoder(),
}
