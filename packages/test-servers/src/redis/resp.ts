export type RedisReply = string | number | null | Error | RedisReply[]

/** A decoded reply and the offset of the first byte after it. */
export interface DecodedReply {
  readonly value: RedisReply
  readonly end: number
}

/** How bulk strings are represented: `latin1` keeps all bytes. */
type Encoding = 'utf8' | 'latin1'

/** Encodes a command as an array of bulk strings (RESP2). */
export function encodeCommand(
  args: readonly (string | number)[],
  encoding: Encoding = 'utf8',
): Buffer {
  const bulkStrings = args.map((arg) => `$${Buffer.byteLength(`${arg}`, encoding)}\r\n${arg}\r\n`)
  return Buffer.from(`*${args.length}\r\n${bulkStrings.join('')}`, encoding)
}

/** Decodes the RESP2 reply, or command, that begins at `start`. Returns `undefined` while it is incomplete. */
export function decodeReply(
  bytes: Buffer,
  start: number,
  encoding: Encoding = 'utf8',
): DecodedReply | undefined {
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
      return decodeBulkString(bytes, end, Number(line), encoding)
    case '*':
      return decodeArray(bytes, end, Number(line), encoding)
    default:
      return { value: new Error(`not a RESP2 reply: ${type}${line}`), end }
  }
}

function decodeBulkString(
  bytes: Buffer,
  start: number,
  length: number,
  encoding: Encoding,
): DecodedReply | undefined {
  if (length < 0) return { value: null, end: start }
  const end = start + length + 2
  if (bytes.length < end) return undefined
  return { value: bytes.toString(encoding, start, end - 2), end }
}

function decodeArray(
  bytes: Buffer,
  start: number,
  length: number,
  encoding: Encoding,
): DecodedReply | undefined {
  if (length < 0) return { value: null, end: start }
  const value: RedisReply[] = []
  let end = start
  while (value.length < length) {
    const element = decodeReply(bytes, end, encoding)
    if (element === undefined) return undefined
    value.push(element.value)
    end = element.end
  }
  return { value, end }
}
