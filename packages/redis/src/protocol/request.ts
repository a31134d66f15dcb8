import type { Argument } from './command-client.ts'

/** Longer arguments are written separately: copying them into the text of other requests would cost more. */
const maxInlineLength = 16 * 1024

/** Longer texts are split, so that the server can start with the first requests while the others are copied. */
const charsPerBlock = 64 * 1024

/** A command. `header` is its beginning and `suffix` its end, both encoded in advance. */
export interface Request {
  readonly header: string
  readonly args: readonly Argument[]
  readonly suffix: string
}

/** Some requests as an array of bulk strings: one text, or its parts if some arguments are bytes or long. */
export interface Block {
  readonly parts: readonly Argument[]
  /** The index of the first request that is not in the block. */
  readonly end: number
}

/** Returns the beginning of a request: https://redis.io/docs/latest/develop/reference/protocol-spec/#arrays */
export function requestHeader(name: string, argumentCount: number): string {
  return `*${argumentCount + 1}\r\n${bulkString(name)}`
}

/** The length of a bulk string is its number of bytes, not of characters. */
export function bulkString(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/**
 * Encodes the requests from `start` on.
 *
 * @param lengthOf returns the number of bytes of a text
 */
export function encodeBlock(
  requests: readonly Request[],
  start: number,
  lengthOf: (text: string) => number,
): Block {
  const parts: Argument[] = []
  let text = ''
  let end = start
  while (end < requests.length && text.length < charsPerBlock) {
    const { header, args, suffix } = requests[end++] as Request
    text += header
    for (const argument of args) {
      if (typeof argument === 'string' && argument.length <= maxInlineLength) {
        text += `$${lengthOf(argument)}\r\n${argument}\r\n`
        continue
      }
      parts.push(`${text}$${Buffer.byteLength(argument)}\r\n`, argument)
      text = '\r\n'
    }
    text += suffix
  }
  parts.push(text)
  return { parts, end }
}
