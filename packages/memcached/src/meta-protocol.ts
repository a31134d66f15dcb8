import { createHash } from 'node:crypto'
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

function line(out: Outbox, text: string, more = 0): void {
  out.reserve(roomForText(text) + more)
  out.end += writeText(out.block, text, out.end)
}

/** The key as text, with the flag that says how to read it. */
function keyText(key: string): string {
  if (!notGraphic.test(key)) return `${key} `
  const bytes = Buffer.from(key)
  const short = bytes.length <= longestEncoded ? bytes : digest(bytes)
  return `${short.toString('base64')} b `
}

/** Stands for a key that is too long to be encoded; it begins like no key of text does. */
function digest(key: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0), createHash('sha256').update(key).digest()])
}

export const meta: Protocol = {
  name: 'meta',

  get(out, key, opaque, quiet) {
    line(out, `mg ${keyText(key)}v f c O${opaque}${quiet ? ' q' : ''}\r\n`)
  },

  getAndTouch(out, key, expiry, opaque) {
    line(out, `mg ${keyText(key)}v f c T${expiry} O${opaque}\r\n`)
  },

  touch(out, key, expiry, opaque) {
    line(out, `mg ${keyText(key)}T${expiry} O${opaque}\r\n`)
  },

  store(out, { mode, key, item, flags, expiry, cas }, opaque, quiet) {
    const head = storeHead(key, typeof item === 'string' ? Buffer.byteLength(item) : item.length)
    const facts = mode === 'prepend' ? '' : `F${flags} T${expiry} `
    const only = cas === 0n ? '' : ` C${cas}`
    line(
      out,
      `${head}${facts}O${opaque}${modes[mode]}${only}${quiet ? ' q' : ''}\r\n`,
      roomForItem(item),
    )
    out.append(item)
    line(out, '\r\n')
  },

  // Never quiet: which of its two answers it would suppress depends on the version of the server.
  delete(out, key, cas, opaque) {
    line(out, `md ${keyText(key)}O${opaque}${cas === 0n ? '' : ` C${cas}`}\r\n`)
  },

  arithmetic(out, key, delta, opaque) {
    line(out, `ma ${keyText(key)}D${delta} v O${opaque}\r\n`)
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

function storeHead(key: string, bytes: number): string {
  const [text, flag] = keyText(key).split(' ')
  return `ms ${text} ${bytes} ${flag === '' ? '' : `${flag} `}`
}

const codes: Readonly<Record<string, number>> = {
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
const lineEnd = 0x0a
/** Many times what the longest line has: a key, a few numbers, a setting. */
const longestLine = 16 * 1024

/** Answers are lines, one kind of which says how many bytes follow. */
class MetaDecoder implements Decoder, Reply {
  readonly #inbox = new Inbox()
  status = 0
  value: Buffer = noBytes
  name = ''
  isEnd = false
  /** The flags of the answer: a letter and a token each. */
  #facts: readonly string[] = []

  receive(piece: Buffer, deliver: (reply: Reply) => void): void {
    const bytes = this.#inbox.take(piece)
    if (bytes === undefined) return
    let at = 0
    let needed = 1
    for (;;) {
      const end = bytes.indexOf(lineEnd, at)
      if ((end < 0 ? bytes.length : end) - at > longestLine) throw foreign()
      if (end < 0) break
      const words = bytes.toString('latin1', at, end - 1).split(' ')
      const body = words[0] === 'VA' ? lengthOf(words[1]) : -1
      const next = end + 1 + (body < 0 ? 0 : body + 2)
      if (next > bytes.length) {
        needed = next - at
        break
      }
      this.#read(words, body < 0 ? undefined : bytes.subarray(end + 1, next - 2))
      at = next
      deliver(this)
    }
    const rest = bytes.subarray(at)
    // Of an unfinished line it is not known how long it is.
    this.#inbox.keep(rest, Math.max(needed, rest.length + 1))
  }

  get opaque(): number | undefined {
    const text = this.#fact('O')
    return text === undefined ? undefined : Number(text)
  }

  get flags(): number {
    return Number(this.#fact('f') ?? 0)
  }

  get cas(): bigint {
    return BigInt(this.#fact('c') ?? 0)
  }

  get sum(): bigint {
    return BigInt(this.value.toString('latin1').trim())
  }

  #read(words: string[], body: Buffer | undefined): void {
    const [code = ''] = words
    this.status = codes[code] ?? errorStatus(words)
    this.isEnd = code === 'MN'
    this.name = code === 'STAT' ? (words[1] ?? '') : ''
    this.#facts = body === undefined ? words.slice(1) : words.slice(2)
    this.value = body ?? Buffer.from(words.slice(code === 'STAT' ? 2 : 1).join(' '), 'latin1')
  }

  #fact(letter: string): string | undefined {
    return this.#facts.find((fact) => fact.startsWith(letter))?.slice(1)
  }
}

function lengthOf(text: string | undefined): number {
  if (text !== undefined && /^\d{1,10}$/.test(text)) return Number(text)
  throw foreign()
}

function foreign(): OtherProtocol {
  return new OtherProtocol('the answer is no text of memcached')
}

function errorStatus(words: readonly string[]): number {
  const text = words.join(' ')
  if (/^SERVER_ERROR object too large/.test(text)) return status.tooLarge
  if (/^SERVER_ERROR out of memory/.test(text)) return status.outOfMemory
  if (/^CLIENT_ERROR cannot increment/.test(text)) return status.notNumeric
  if (/^CLIENT_ERROR (unauthenticated|authentication)/.test(text)) return status.unauthorized
  if (/^(CLIENT|SERVER)_ERROR/.test(text)) return status.failed
  throw foreign()
}
