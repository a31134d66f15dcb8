import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'

/** The arguments of `write` and `end`. */
export interface BodyArguments {
  readonly chunk: Buffer | undefined
  readonly callback: (() => void) | undefined
}

/** Returns the bytes that `write` or `end` would send. */
export function bodyArguments(args: readonly unknown[]): BodyArguments {
  const [chunk, encoding] = args
  const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
  if (typeof chunk === 'string') {
    const name = typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'
    return { chunk: Buffer.from(chunk, name), callback }
  }
  if (chunk instanceof Uint8Array) {
    // Copied, because a stream may use its buffer again.
    return { chunk: Buffer.from(chunk), callback }
  }
  return { chunk: undefined, callback }
}

/** Whether `end` throws an error for a chunk. */
export function isInvalidChunk(chunk: unknown): boolean {
  if (!chunk || typeof chunk === 'string' || typeof chunk === 'function') return false
  return !(chunk instanceof Uint8Array)
}

/**
 * Does what `writeHead` does, without sending anything, so that `getHeaders` returns all headers: Node does not return
 * those that are passed to `writeHead` only.
 */
export function applyHead(response: ServerResponse, args: readonly unknown[]): void {
  const [status, second, third] = args
  response.statusCode = Number(status)
  if (typeof second === 'string') response.statusMessage = second
  const headers = typeof second === 'string' ? third : (third ?? second)
  if (Array.isArray(headers)) applyList(response, headers)
  else if (typeof headers === 'object' && headers !== null) {
    for (const [name, value] of Object.entries(headers as OutgoingHttpHeaders)) {
      if (value !== undefined) response.setHeader(name, value)
    }
  }
}

/** Names and values in turn, or pairs of them. A repeated name adds a line. */
function applyList(response: ServerResponse, list: readonly unknown[]): void {
  const pairs = Array.isArray(list[0])
    ? (list as [string, OutgoingHttpHeader][])
    : Array.from({ length: list.length / 2 }, (_, index) => [list[index * 2], list[index * 2 + 1]])
  const seen = new Set<string>()
  for (const [name, value] of pairs as [string, OutgoingHttpHeader][]) {
    const key = name.toLowerCase()
    const existing = seen.has(key) ? response.getHeader(key) : undefined
    const lines = existing === undefined ? value : [existing, value].flat().map(String)
    response.setHeader(name, lines as number | string | string[])
    seen.add(key)
  }
}
