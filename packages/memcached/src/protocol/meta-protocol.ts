import { createHash } from 'node:crypto'
import { payloadBytes } from '@stowage/core/driver'
import { MetaDecoder } from './meta-decoder.ts'
import type { Protocol } from './protocol.ts'
import { type Outbox, roomForItem, roomForText, writeText } from './write-buffer.ts'

/**
 * Commands of text, for servers that refuse the binary protocol, such as ElastiCache Serverless:
 * https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Meta Commands"
 */
const modes = { set: '', add: ' ME', prepend: ' MP' } as const

/** What a key of text must not have. */
const notGraphic = /[\0- \x7f]/
/** A key is at most 250 bytes on the wire, and base64 makes four of three. */
const longestEncoded = 186
/** The flag of a key that is. */
const encoded = ' b'
/** More than the words and numbers of a command take beside its key. */
const wordBytes = 160

/** Begins a command, with room for all of it and for more; says whether the key had to be encoded. */
function begin(out: Outbox, verb: string, key: string, more = 0): boolean {
  out.reserve(wordBytes + roomForText(key) + more)
  write(out, verb)
  return writeKey(out, key)
}

/** The same with the flag of the key, which other flags may follow. */
function command(out: Outbox, verb: string, key: string): void {
  if (begin(out, verb, key)) write(out, encoded)
}

/** For what is not about a key. */
function line(out: Outbox, text: string): void {
  out.reserve(roomForText(text))
  write(out, text)
}

function write(out: Outbox, text: string): void {
  out.end += writeText(out.block, text, out.end)
}

function writeNumber(out: Outbox, number: number): void {
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

/** The number that comes back with the answer, and the end of the command. */
function finish(out: Outbox, opaque: number, quiet: boolean): void {
  write(out, ' O')
  writeNumber(out, opaque)
  write(out, quiet ? ' q\r\n' : '\r\n')
}

/** The key as it is where text can have it. Says whether it had to be encoded. */
function writeKey(out: Outbox, key: string): boolean {
  const { block, end } = out
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f) return writeRareKey(out, key)
    block[end + i] = code
  }
  out.end += key.length
  return false
}

/** One with other characters than visible ones of ASCII. Those beyond ASCII are no reason to encode it. */
function writeRareKey(out: Outbox, key: string): boolean {
  const isEncoded = notGraphic.test(key)
  write(out, isEncoded ? encode(key) : key)
  return isEncoded
}

function encode(key: string): string {
  const bytes = Buffer.from(key)
  const short = bytes.length <= longestEncoded ? bytes : digest(bytes)
  return short.toString('base64')
}

/** Stands for a key that is too long to be encoded; it begins like no key of text does. */
function digest(key: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0), createHash('sha256').update(key).digest()])
}

export const meta: Protocol = {
  name: 'meta',

  get(out, key, opaque, quiet) {
    command(out, 'mg ', key)
    write(out, ' v f c')
    finish(out, opaque, quiet)
  },

  getAndTouch(out, key, expiry, opaque) {
    command(out, 'mg ', key)
    write(out, ' v f c T')
    writeNumber(out, expiry)
    finish(out, opaque, false)
  },

  touch(out, key, expiry, opaque) {
    command(out, 'mg ', key)
    write(out, ' T')
    writeNumber(out, expiry)
    finish(out, opaque, false)
  },

  store(out, { mode, key, item, flags, expiry, cas }, opaque, quiet) {
    const isEncoded = begin(out, 'ms ', key, roomForItem(item))
    write(out, ' ')
    writeNumber(out, payloadBytes(item))
    if (isEncoded) write(out, encoded)
    if (mode !== 'prepend') {
      write(out, ' F')
      writeNumber(out, flags)
      write(out, ' T')
      writeNumber(out, expiry)
    }
    write(out, modes[mode])
    if (cas !== 0n) write(out, ` C${cas}`)
    finish(out, opaque, quiet)
    out.append(item)
    line(out, '\r\n')
  },

  // Never quiet: which of its two answers it would suppress depends on the version of the server.
  delete(out, key, cas, opaque) {
    command(out, 'md ', key)
    if (cas !== 0n) write(out, ` C${cas}`)
    finish(out, opaque, false)
  },

  arithmetic(out, key, delta, opaque) {
    command(out, 'ma ', key)
    write(out, ` D${delta} v`)
    finish(out, opaque, false)
  },

  noop(out) {
    line(out, 'mn\r\n')
  },

  flush(out) {
    line(out, 'flush_all\r\n')
  },

  version(out) {
    line(out, 'version\r\n')
  },

  settings(out) {
    line(out, 'stats settings\r\n')
  },

  /** `memcached -Y`: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Authentication" */
  login(out, username, password) {
    const text = `${username} ${password}`
    line(out, `set auth 0 0 ${Buffer.byteLength(text)}\r\n${text}\r\n`)
  },

  decoder: () => new MetaDecoder(),
}
