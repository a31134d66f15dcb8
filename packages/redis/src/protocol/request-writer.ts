// How and when the requests of a turn of the event loop are written to the socket.
import type { Writable } from 'node:stream'
import type { BulkString } from './command-client.ts'

/** Longer arguments are written separately: copying them into the text of other requests would cost more. */
const maxInlineLength = 16 * 1024

/**
 * Pieces up to this length are concatenated. For longer ones, joining them later takes less time: a concatenated text has
 * to be copied into one piece before it can be written.
 */
const maxConcatenatedLength = 512

/** Longer texts are split, so that the server can start with the first requests while the others are copied. */
const charsPerBlock = 64 * 1024

/** From this many commands of ioredis on, an earlier write is worth a system call of its own. */
const commandsPerWrite = 64

/** The end of each line of a request. */
export const lineEnd = '\r\n'

/** What `lengthLine` returns for most arguments: creating it for each argument takes longer. */
const lengthLines: string[] = new Array(4 * 1024)

/** Commands that differ only in their arguments. */
export interface Request {
  /** The beginning of each command, encoded in advance, without the end of its last line. */
  readonly header: string
  /** The other arguments, command by command. */
  readonly args: readonly BulkString[]
  /** The end of each command: the end of the line before, and more arguments. */
  readonly suffix: string
  readonly argsPerCommand: number
}

/** Returns the beginning of a request: https://redis.io/docs/latest/develop/reference/protocol-spec/#arrays */
export function requestHeader(name: string, argumentCount: number): string {
  return `*${argumentCount + 1}${bulkString(name)}`
}

/** Returns the end of the line before and a bulk string, without the end of its last line. */
export function bulkString(text: string): string {
  return lengthLine(Buffer.byteLength(text)) + text
}

/** Returns the end of the line before, and the line with the length of a bulk string: its bytes, not its characters. */
function lengthLine(length: number): string {
  if (length >= lengthLines.length) return `${lineEnd}$${length}${lineEnd}`
  lengthLines[length] ??= `${lineEnd}$${length}${lineEnd}`
  return lengthLines[length] as string
}

/** Writes requests as arrays of bulk strings, in blocks. */
export class RequestWriter {
  /** Whether the last text was ASCII, as the next one probably is. */
  #isAscii = true
  /** The first command after the encoded block: the index of its request, and of its first argument. */
  #endRequest = 0
  #endArgument = 0

  write(requests: readonly Request[], stream: Writable): void {
    this.#endRequest = 0
    this.#endArgument = 0
    while (this.#endRequest < requests.length) this.#writeBlock(requests, stream)
  }

  /**
   * ASCII is checked once for all texts of a block: counting the bytes of each argument would copy texts that are not
   * contiguous in memory, such as a result of `JSON.stringify`.
   */
  #writeBlock(requests: readonly Request[], stream: Writable): void {
    const request = this.#endRequest
    const argument = this.#endArgument
    let parts = this.#encode(requests, request, argument, this.#isAscii)
    const isAscii = parts.every(isAsciiOrBytes)
    if (this.#isAscii && !isAscii) parts = this.#encode(requests, request, argument, false)
    this.#isAscii = isAscii
    if (parts.length > 1) stream.cork()
    for (const part of parts) {
      // Copying the bytes is faster than converting to UTF-8.
      if (typeof part === 'string') stream.write(part, isAscii ? 'latin1' : 'utf8')
      else stream.write(part)
    }
    if (parts.length > 1) stream.uncork()
  }

  /**
   * Encodes the next commands, from an argument of a request on: as one text, or as its parts if some arguments are bytes
   * or long. With `isAscii`, each character of a text counts as one byte.
   */
  #encode(
    requests: readonly Request[],
    from: number,
    fromArgument: number,
    isAscii: boolean,
  ): BulkString[] {
    const parts: BulkString[] = []
    const text = new TextBuilder()
    let index = from
    let next = fromArgument
    while (index < requests.length && text.length < charsPerBlock) {
      const { header, args, suffix, argsPerCommand } = requests[index] as Request
      text.add(header)
      for (const end = next + argsPerCommand; next < end; next++) {
        const argument = args[next] as BulkString
        const isInline = typeof argument === 'string' && argument.length <= maxInlineLength
        text.add(lengthLine(isInline && isAscii ? argument.length : Buffer.byteLength(argument)))
        if (isInline) text.add(argument)
        else parts.push(text.take(), argument)
      }
      text.add(suffix)
      if (next < args.length) continue
      index++
      next = 0
    }
    parts.push(text.take())
    this.#endRequest = index
    this.#endArgument = next
    return parts
  }
}

function isAsciiOrBytes(part: BulkString): boolean {
  return typeof part !== 'string' || Buffer.byteLength(part) === part.length
}

/** Builds a text of many short and some long pieces. */
class TextBuilder {
  /** In characters. */
  length = 0
  #pieces: string[] = []
  #text = ''

  add(piece: string): void {
    this.length += piece.length
    if (piece.length <= maxConcatenatedLength) this.#text += piece
    else {
      this.#pieces.push(this.#text, piece)
      this.#text = ''
    }
  }

  /** Returns the text, and begins another one. */
  take(): string {
    let text = this.#text
    if (this.#pieces.length > 0) {
      this.#pieces.push(text)
      text = this.#pieces.join('')
      this.#pieces = []
    }
    this.#text = ''
    this.length = 0
    return text
  }
}

/**
 * Calls a function once for the calls of a turn of the event loop. While others are active, that is when the callbacks
 * of the turn have run, so that the requests of all sockets share it; for a lone call, it is as soon as its own
 * callback has run.
 */
export class FlushScheduler {
  readonly #onEnd: () => void
  #scheduled: 'none' | 'turn' | 'callback' = 'none'
  /** How many calls were added since the last end, and before it. */
  #count = 0
  #lastCount = 0

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
  }

  /** @param isBusy whether earlier calls are in flight */
  add(isBusy: boolean): void {
    this.#count++
    if (this.#scheduled !== 'none') return
    if (!isBusy && this.#lastCount <= 1) this.flushAfterCallback()
    else {
      this.#scheduled = 'turn'
      setImmediate(this.#end)
    }
  }

  /** Calls the function when the current callback has run, also if that was to be at the end of the turn. */
  flushAfterCallback(): void {
    if (this.#scheduled === 'callback') return
    this.#scheduled = 'callback'
    process.nextTick(this.#end)
  }

  readonly #end = () => {
    this.#scheduled = 'none'
    this.#lastCount = this.#count
    this.#count = 0
    this.#onEnd()
  }
}

/** Holds back the writes of ioredis, so that the commands of a turn of the event loop leave in one write. */
export class WriteCork {
  readonly #scheduler = new FlushScheduler(() => this.#uncork())
  #streams: readonly Writable[] = []
  #commands = 0

  /**
   * Must be called before a command is sent.
   * @param isBatched whether the command has waited for the end of a turn already
   * @param isBusy whether earlier commands are in flight
   */
  hold(streams: () => readonly Writable[], isBatched: boolean, isBusy: boolean): void {
    if (this.#commands === 0) {
      this.#streams = streams()
      for (const stream of this.#streams) stream.cork()
    } else if (this.#commands % commandsPerWrite === 0) {
      // So that the server can start with the first commands.
      for (const stream of this.#streams) {
        stream.uncork()
        stream.cork()
      }
    }
    this.#commands++
    if (isBatched) this.#scheduler.flushAfterCallback()
    else this.#scheduler.add(isBusy)
  }

  #uncork(): void {
    this.#commands = 0
    for (const stream of this.#streams) stream.uncork()
    this.#streams = []
  }
}
