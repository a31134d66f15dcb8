import {
  type Decoder,
  noBytes,
  ProtocolMismatchError,
  type Reply,
  type ReplyKind,
  status,
} from './protocol.ts'
import { maxReplyBytes, ReadBuffer } from './read-buffer.ts'

/** The status of the reply to a meta command by the first word of its line. */
const statusByWord: ReadonlyMap<string, number> = new Map([
  ['HD', status.ok],
  ['VA', status.ok],
  ['MN', status.ok],
  ['EN', status.missing],
  ['NF', status.missing],
  ['EX', status.exists],
  ['NS', status.notStored],
])

/** The same by the two letters of a word, read as a 16-bit integer. */
const statusByCode: ReadonlyMap<number, number> = new Map(
  [...statusByWord].map(([word, status]) => [codeOf(word), status]),
)

/** The successful replies to commands without a key. */
const kindByWord: ReadonlyMap<string, ReplyKind> = new Map([
  ['OK', 'ok'],
  ['STORED', 'stored'],
  ['VERSION', 'version'],
  ['STAT', 'stat'],
  ['END', 'stat'],
])
const valueCode = codeOf('VA')
const endCode = codeOf('MN')
const [space, lineFeed, carriageReturn, zero, minus] = [0x20, 0x0a, 0x0d, 0x30, 0x2d]
const letters = { opaque: 0x4f, flags: 0x66, cas: 0x63, ttl: 0x74 }
/** Many times the longest line of a server: a key and a few numbers, or a setting. */
const maxLineBytes = 16 * 1024

/** Replies are lines. A `VA` line declares the length of the value that follows it. */
export class MetaDecoder implements Decoder, Reply {
  readonly #buffer = new ReadBuffer()
  status = 0
  opaque: number | undefined
  kind: ReplyKind = 'item'
  flags = 0
  ttl: number | undefined
  name = ''
  isEnd = false
  /** The bytes of the current reply, and the offsets of its cas id and its value. */
  #bytes: Buffer = noBytes
  #casAt = 0
  #valueAt = 0
  #valueEnd = 0

  receive(data: Buffer, deliver: (reply: Reply) => void): void {
    this.#buffer.append(data, (bytes) => this.#decode(bytes, deliver))
  }

  #decode(bytes: Buffer, deliver: (reply: Reply) => void): void {
    this.#bytes = bytes
    let at = 0
    let needed = 1
    for (;;) {
      const feed = bytes.indexOf(lineFeed, at)
      if ((feed < 0 ? bytes.length : feed) - at > maxLineBytes) throw mismatch()
      if (feed < 0) break
      if (bytes[feed - 1] !== carriageReturn) throw mismatch()
      const next = this.#read(bytes, at, feed)
      if (next > bytes.length) {
        needed = next - at
        if (needed > maxReplyBytes) throw mismatch()
        break
      }
      // The line end behind a value shows that the declared length is right.
      if (bytes[next - 1] !== lineFeed || bytes[next - 2] !== carriageReturn) throw mismatch()
      at = next
      deliver(this)
    }
    const rest = bytes.subarray(at)
    // The length of an incomplete line is unknown: any further byte may complete it.
    this.#buffer.retain(rest, Math.max(needed, rest.length + 1))
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
    const text = this.#text(this.#valueAt, this.#valueEnd).trimEnd()
    if (!/^\d{1,20}$/.test(text)) throw mismatch()
    return BigInt(text)
  }

  /** The opaque identifies the key. */
  isFor(): boolean {
    return true
  }

  /** Reads the reply whose line starts at `at` and ends at `feed`. Returns where the next reply starts. */
  #read(bytes: Buffer, at: number, feed: number): number {
    this.opaque = undefined
    this.kind = 'item'
    this.flags = 0
    this.ttl = undefined
    this.name = ''
    this.#casAt = 0
    // After a word of two letters there is a space or the end of the line.
    const third = bytes[at + 2] as number
    const code = third <= space ? bytes.readUInt16BE(at) : 0
    const status = statusByCode.get(code)
    if (status === undefined) return this.#readWords(at, feed)
    this.status = status
    this.isEnd = code === endCode
    if (this.isEnd) this.kind = 'end'
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

  /** A flag is a letter and its token, without a space between them. */
  #readFlags(bytes: Buffer, from: number, feed: number): void {
    for (let at = from; at < feed; at++) {
      const letter = bytes[at]
      if (letter === letters.opaque) this.opaque = this.#number(at + 1)
      else if (letter === letters.flags) this.flags = this.#number(at + 1)
      else if (letter === letters.cas) this.#casAt = at + 1
      else if (letter === letters.ttl)
        this.ttl = bytes[at + 1] === minus ? -1 : this.#number(at + 1)
      at = wordEnd(bytes, at)
    }
  }

  /** Reads a reply of the classic text protocol: to commands without a key, and errors. */
  #readWords(at: number, feed: number): number {
    const text = this.#text(at, feed - 1)
    const [first = '', second = ''] = text.split(' ')
    const kind = kindByWord.get(first)
    this.kind = kind ?? 'error'
    this.status = kind === undefined ? errorStatus(text) : status.ok
    this.isEnd = false
    if (first === 'STAT') this.name = second
    const head = first === 'STAT' ? `${first} ${second} ` : `${first} `
    this.#valueAt = Math.min(at + head.length, feed - 1)
    this.#valueEnd = feed - 1
    return feed + 1
  }

  /** Parses the digits from `from` to the end of the word. */
  #number(from: number): number {
    const bytes = this.#bytes
    let number = 0
    let at = from
    for (; (bytes[at] as number) > space; at++) {
      const digit = (bytes[at] as number) - zero
      if (digit < 0 || digit > 9 || at - from > 9) throw mismatch()
      number = number * 10 + digit
    }
    if (at === from) throw mismatch()
    return number
  }

  #text(from: number, to: number): string {
    return this.#bytes.toString('latin1', from, to)
  }
}

function codeOf(word: string): number {
  return Buffer.from(word).readUInt16BE()
}

/** The end of the word that starts at `from`: the next space or the end of the line. */
function wordEnd(bytes: Buffer, from: number): number {
  let at = from
  while ((bytes[at] as number) > space) at++
  return at
}

function mismatch(): ProtocolMismatchError {
  return new ProtocolMismatchError('the reply is not in the text protocol of memcached')
}

function errorStatus(text: string): number {
  if (/^ERROR( |$)/.test(text)) return status.unknownCommand
  if (/^SERVER_ERROR object too large/.test(text)) return status.tooLarge
  if (/^SERVER_ERROR out of memory/.test(text)) return status.outOfMemory
  if (/^CLIENT_ERROR cannot increment/.test(text)) return status.notNumeric
  if (/^CLIENT_ERROR (unauthenticated|authentication)/.test(text)) return status.unauthorized
  if (/^(CLIENT|SERVER)_ERROR/.test(text)) return status.failed
  throw mismatch()
}
