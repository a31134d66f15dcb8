import { type Decoder, noBytes, OtherProtocol, type Reply, status } from './protocol.ts'
import { Inbox } from './read-buffer.ts'

/** What the first word of a line says. */
const words: ReadonlyMap<string, number> = new Map([
  ['HD', status.ok],
  ['VA', status.ok],
  ['MN', status.ok],
  ['OK', status.ok],
  ['STORED', status.ok],
  ['VERSION', status.ok],
  ['STAT', status.ok],
  ['END', status.ok],
  ['EN', status.missing],
  ['NF', status.missing],
  ['EX', status.exists],
  ['NS', status.notStored],
  ['ERROR', status.unknownCommand],
])

/** Those of two letters, which answer meta commands, as the number their letters are. */
const codes: ReadonlyMap<number, number> = new Map(
  [...words]
    .filter(([word]) => word.length === 2)
    .map(([word, meaning]) => [codeOf(word), meaning]),
)
const valueCode = codeOf('VA')
const endCode = codeOf('MN')
const [space, lineFeed, zero] = [0x20, 0x0a, 0x30]
const letters = { opaque: 0x4f, flags: 0x66, cas: 0x63 }
/** Many times what the longest line has: a key, a few numbers, a setting. */
const longestLine = 16 * 1024

/** Answers are lines, one kind of which says how many bytes follow. */
export class MetaDecoder implements Decoder, Reply {
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
    const code = third <= space ? bytes.readUInt16BE(at) : 0
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
    this.status = words.get(first) ?? errorStatus(text)
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

function codeOf(word: string): number {
  return Buffer.from(word).readUInt16BE()
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
