import type { Argument } from './command-client.ts'

/** Longer arguments are written separately: copying them into the text of other requests would cost more. */
const maxInlineLength = 16 * 1024

/**
 * Pieces up to this length are concatenated. For longer ones, joining them later takes less time: a concatenated text has
 * to be copied into one piece before it can be written.
 */
const maxConcatenatedLength = 512

/** Longer texts are split, so that the server can start with the first requests while the others are copied. */
const charsPerBlock = 64 * 1024

/** The end of each line of a request. */
export const lineEnd = '\r\n'

/** What `lengthLine` returns for most arguments: creating it for each argument takes longer. */
const lengthLines: string[] = new Array(4 * 1024)

/** Commands that differ only in their arguments. */
export class Request {
  /** The beginning of each command, encoded in advance, without the end of its last line. */
  readonly header: string
  /** The end of each command: the end of the line before, and more arguments. */
  readonly suffix: string
  /** The other arguments, command by command. */
  readonly args: readonly Argument[]
  readonly argsPerCommand: number

  constructor(
    header: string,
    args: readonly Argument[],
    suffix: string = lineEnd,
    argsPerCommand: number = args.length,
  ) {
    this.header = header
    this.args = args
    this.suffix = suffix
    this.argsPerCommand = argsPerCommand
  }

  get commandCount(): number {
    return this.argsPerCommand === 0 ? 1 : this.args.length / this.argsPerCommand
  }
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

/** Encodes requests as arrays of bulk strings, in blocks. */
export class RequestEncoder {
  readonly #requests: readonly Request[]
  /** The next command: the index of its request, and of its first argument. */
  #request = 0
  #argument = 0
  /** The first command after the encoded block. */
  #endRequest = 0
  #endArgument = 0

  constructor(requests: readonly Request[]) {
    this.#requests = requests
  }

  get isAtEnd(): boolean {
    return this.#request === this.#requests.length
  }

  /**
   * Encodes the next commands: as one text, or as its parts if some arguments are bytes or long.
   *
   * @param lengthOf returns the number of bytes of a text
   */
  encode(lengthOf: (text: string) => number): Argument[] {
    const parts: Argument[] = []
    const text = new TextBuilder()
    let index = this.#request
    let next = this.#argument
    while (index < this.#requests.length && text.length < charsPerBlock) {
      const { header, args, suffix, argsPerCommand } = this.#requests[index] as Request
      text.add(header)
      for (const end = next + argsPerCommand; next < end; next++) {
        const argument = args[next] as Argument
        if (typeof argument === 'string' && argument.length <= maxInlineLength) {
          text.add(lengthLine(lengthOf(argument)))
          text.add(argument)
          continue
        }
        text.add(lengthLine(Buffer.byteLength(argument)))
        parts.push(text.take(), argument)
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

  /** Continues after the encoded commands. */
  advance(): void {
    this.#request = this.#endRequest
    this.#argument = this.#endArgument
  }
}

/** Builds a text of many short and some long pieces. */
class TextBuilder {
  #pieces: string[] = []
  #text = ''
  #length = 0

  get length(): number {
    return this.#length
  }

  add(piece: string): void {
    this.#length += piece.length
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
    this.#length = 0
    return text
  }
}
