import { createHash } from 'node:crypto'
import { payloadBytes } from '@stowage/core'
import { Inbox } from './inbox.ts'
import { type Outbox, roomForItem, roomForText, writeText } from './outbox.ts'
import {
  type Decoder,
  noBytes,
  OtherProtocol,
  type Protocol,
  type Reply,
  status,
} from './protocol.ts'

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
    if (begin(out, 'mg ', key)) write(out, encoded)
    write(out, ' v f c')
    finish(out, opaque, quiet)
  },

  getAndTouch(out, key, expiry, opaque) {
    if (begin(out, 'mg ', key)) write(out, encoded)
    write(out, ' v f c T')
    writeNumber(out, expiry)
    finish(out, opaque, false)
  },

  touch(out, key, expiry, opaque) {
    if (begin(out, 'mg ', key)) write(out, encoded)
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
    if (begin(out, 'md ', key)) write(out, encoded)
    if (cas !== 0n) write(out, ` C${cas}`)
    finish(out, opaque, false)
  },

  arithmetic(out, key, delta, opaque) {
    if (begin(out, 'ma ', key)) write(out, encoded)
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

const words: Readonly<Record<string, number>> = {
  HD: status.ok,
  VA: status.ok,
  MN: status.ok,
  OK: status.ok,
  STORED: status.ok,
  VERSION: status.ok,
  STAT: status.ok,
  END: status.ok,
  EN: status.missing,
  NF: status.missing,
  EX: status.exists,
  NS: status.notStored,
  ERROR: status.unknownCommand,
}

/** The codes of meta commands, as the number their two letters are. */
const codes = new Map(
  Object.entries(words)
    .filter(([word]) => word.length === 2)
    .map(([word, meaning]) => [codeOf(Buffer.from(word), 0), meaning]),
)
const valueCode = codeOf(Buffer.from('VA'), 0)
const endCode = codeOf(Buffer.from('MN'), 0)
const [space, lineFeed, zero] = [0x20, 0x0a, 0x30]
const letters = { opaque: 0x4f, flags: 0x66, cas: 0x63 }
/** Many times what the longest line has: a key, a few numbers, a setting. */
const longestLine = 16 * 1024

/** Answers are lines, one kind of which says how many bytes follow. */
class MetaDecoder implements Decoder, Reply {
  readonly #inbox = new Inbox()
  status = 0
  opaque: number | undefined
  flags = 0
  name = ''
  isEnd = false
  /** The answer that is being delivered is in these bytes. */
  #bytes: Buffer = noBytes
  #casAt = 0
  #valueAt = 0
  #valueEnd = 0

  receive(piece: Buffer, deliver: (reply: Reply) => void): void {
    const bytes = this.#inbox.take(piece)
    if (bytes === undefined) return
    this.#bytes = bytes
    let at = 0
    let needed = 1
    for (;;) {
      const feed = bytes.indexOf(lineFeed, at)
      if ((feed < 0 ? bytes.length : feed) - at > longestLine) throw foreign()
      if (feed < 0) break
      const next = this.#read(bytes, at, feed)
      if (next > bytes.length) {
        needed = next - at
        break
      }
      at = next
      deliver(this)
    }
    const rest = bytes.subarray(at)
    // Of an unfinished line it is not known how long it is.
    this.#inbox.keep(rest, Math.max(needed, rest.length + 1))
  }

  get cas(): bigint {
    return this.#casAt === 0
      ? 0n
      : BigInt(this.#text(this.#casAt, wordEnd(this.#bytes, this.#casAt)))
  }

  get value(): Buffer {
    return this.#bytes.subarray(this.#valueAt, this.#valueEnd)
  }

  get sum(): bigint {
    return BigInt(this.#text(this.#valueAt, this.#valueEnd).trim())
  }

  /** Reads the answer whose line goes from `at` to its line feed; returns where the next one begins. */
  #read(bytes: Buffer, at: number, feed: number): number {
    this.opaque = undefined
    this.flags = 0
    this.name = ''
    this.#casAt = 0
    // A word of two letters: a space or the end of the line comes behind it.
    const third = bytes[at + 2] as number
    const code = third <= space ? codeOf(bytes, at) : 0
    const status = codes.get(code)
    if (status === undefined) return this.#readWords(at, feed)
    this.status = status
    this.isEnd = code === endCode
    let next = feed + 1
    let from = at + 3
    if (code === valueCode) {
      const size = this.#number(from)
      from = wordEnd(bytes, from)
      this.#valueAt = next
      this.#valueEnd = next + size
      next += size + 2
    } else {
      this.#valueAt = Math.min(from, feed - 1)
      this.#valueEnd = feed - 1
    }
    this.#readFlags(bytes, from, feed)
    return next
  }

  /** A letter and a token each. */
  #readFlags(bytes: Buffer, from: number, feed: number): void {
    for (let at = from; at < feed; at++) {
      const letter = bytes[at]
      if (letter === letters.opaque) this.opaque = this.#number(at + 1)
      else if (letter === letters.flags) this.flags = this.#number(at + 1)
      else if (letter === letters.cas) this.#casAt = at + 1
      at = wordEnd(bytes, at)
    }
  }

  /** What is said in words: to commands that are not about an item, and of errors. */
  #readWords(at: number, feed: number): number {
    const text = this.#text(at, feed - 1)
    const [first = '', second = ''] = text.split(' ')
    this.status = words[first] ?? errorStatus(text)
    this.isEnd = false
    if (first === 'STAT') this.name = second
    const said = first === 'STAT' ? `${first} ${second} ` : `${first} `
    this.#valueAt = Math.min(at + said.length, feed - 1)
    this.#valueEnd = feed - 1
    return feed + 1
  }

  /** The digits from there to the end of the word. */
  #number(from: number): number {
    const bytes = this.#bytes
    let number = 0
    let at = from
    for (; (bytes[at] as number) > space; at++) {
      const digit = (bytes[at] as number) - zero
      if (digit < 0 || digit > 9 || at - from > 9) throw foreign()
      number = number * 10 + digit
    }
    if (at === from) throw foreign()
    return number
  }

  #text(from: number, to: number): string {
    return this.#bytes.toString('latin1', from, to)
  }
}

function codeOf(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
}

/** Where the word ends that begins there: at the next space or the end of the line. */
function wordEnd(bytes: Buffer, from: number): number {
  let at = from
  while ((bytes[at] as number) > space) at++
  return at
}

function foreign(): OtherProtocol {
  return new OtherProtocol('the answer is no text of memcached')
}

function errorStatus(text: string): number {
  if (/^SERVER_ERROR object too large/.test(text)) return status.tooLarge
  if (/^SERVER_ERROR out of memory/.test(text)) return status.outOfMemory
  if (/^CLIENT_ERROR cannot increment/.test(text)) return status.notNumeric
  if (/^CLIENT_ERROR (unauthenticated|authentication)/.test(text)) return status.unauthorized
  if (/^(CLIENT|SERVER)_ERROR/.test(text)) return status.failed
  throw foreign()
}
