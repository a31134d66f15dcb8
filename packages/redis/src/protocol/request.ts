import type { Argument } from './command-client.ts'

/** Longer arguments are written separately: copying them into the text of other requests would cost more. */
const maxInlineLength = 16 * 1024

/** A command encoded as an array of bulk strings: the text, or its parts if some arguments are bytes or long. */
export type Request = string | Argument[]

/** Returns the beginning of a request: https://redis.io/docs/latest/develop/reference/protocol-spec/#arrays */
export function requestHeader(name: string, argumentCount: number): string {
  return `*${argumentCount + 1}\r\n${bulkString(name)}`
}

/** The length of a bulk string is its number of bytes, not of characters. */
export function bulkString(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/** Encodes a command. `header` is its beginning, and `suffix` its last arguments, encoded in advance. */
export function encodeRequest(header: string, args: readonly Argument[], suffix = ''): Request {
  let text = header
  let parts: Argument[] | undefined
  for (const argument of args) {
    if (typeof argument === 'string' && argument.length <= maxInlineLength) {
      text += bulkString(argument)
      continue
    }
    parts ??= []
    parts.push(`${text}$${Buffer.byteLength(argument)}\r\n`, argument)
    text = '\r\n'
  }
  text += suffix
  if (parts === undefined) return text
  parts.push(text)
  return parts
}
