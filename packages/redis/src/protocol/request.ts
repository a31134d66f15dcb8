import type { Argument } from './command-client.ts'

/** Longer arguments are written separately: copying them into the text of other requests would cost more. */
const maxInlineLength = 16 * 1024

/** Longer texts are split, so that the server can start with the first requests while the others are copied. */
const charsPerBlock = 64 * 1024

/** Commands that differ only in their arguments. */
export class Request {
  /** The beginning and the end of each command, encoded in advance. */
  readonly header: string
  readonly suffix: string
  /** The other arguments, command by command. */
  readonly args: readonly Argument[]
  readonly argsPerCommand: number

  constructor(
    header: string,
    args: readonly Argument[],
    suffix = '',
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
  return `*${argumentCount + 1}\r\n${bulkString(name)}`
}

/** The length of a bulk string is its number of bytes, not of characters. */
export function bulkString(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
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
    let text = ''
    let index = this.#request
    let next = this.#argument
    while (index < this.#requests.length && text.length < charsPerBlock) {
      const { header, args, suffix, argsPerCommand } = this.#requests[index] as Request
      text += header
      for (const end = next + argsPerCommand; next < end; next++) {
        const argument = args[next] as Argument
        if (typeof argument === 'string' && argument.length <= maxInlineLength) {
          text += `$${lengthOf(argument)}\r\n${argument}\r\n`
          continue
        }
        parts.push(`${text}$${Buffer.byteLength(argument)}\r\n`, argument)
        text = '\r\n'
      }
      text += suffix
      if (next < args.length) continue
      index++
      next = 0
    }
    parts.push(text)
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
