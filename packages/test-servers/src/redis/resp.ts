export type RedisReply = string | number | null | Error | RedisReply[]

/** A decoded reply and the offset of the first byte after it. */
export interface DecodedReply {
  readonly value: RedisReply
  readonly end: number
}

/** Encodes a command as an array of bulk strings (RESP2). */
export function encodeCommand(args: readonly (string | number)[]): string {
  const bulkStrings = args.map((arg) => `$${Buffer.byteLength(`${arg}`)}\r\n${arg}\r\n`)
  return `*${args.length}\r\n${bulkStrings.join('')}`
}

/** Decodes the RESP2 reply that begins at `start`. Returns `undefined` while the reply is incomplete. */
export function decodeReply(bytes: Buffer, start: number): DecodedReply | undefined {
  const lineEnd = bytes.indexOf('\r\n', start)
  if (lineEnd < 0) return undefined
  const type = bytes.toString('latin1', start, start + 1)
  const line = bytes.toString('utf8', start + 1, lineEnd)
  const end = lineEnd + 2
  switch (type) {
    case '+':
      return { value: line, end }
    case '-':
      return { value: new Error(line), end }
    case ':':
      return { value: Number(line), end }
    case '$':
      return decodeBulkString(bytes, end, Number(line))
    case '*':
      return decodeArray(bytes, end, Number(line))
    default:
      return { value: new Error(`not a RESP2 reply: ${type}${line}`), end }
  }
}

function decodeBulkString(bytes: Buffer, start: number, length: number): DecodedReply | undefined {
  if (length < 0) return { value: null, end: start }
  const end = start + length + 2
  if (bytes.length < end) return undefined
  return { value: bytes.toString('utf8', start, end - 2), end }
}

function decodeArray(bytes: Buffer, start: number, length: number): DecodedReply | undefined {
  if (length < 0) return { value: null, end: start }
  const value: RedisReply[] = []
  let end = start
  while (value.length < length) {
    const element = decodeReply(bytes, end)
    if (element === undefined) return undefined
    value.push(element.value)
    end = element.end
  }
  return { value, end }
}
