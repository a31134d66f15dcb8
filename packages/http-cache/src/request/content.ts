import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { RequestKeys } from './request-keys.ts'

/** What determines the meaning of content besides its bytes (RFC 10008 section 2.7). */
export const contentHeaders: readonly string[] = [
  'content-type',
  'content-encoding',
  'content-language',
]

/**
 * Reads the content of a request, and leaves it there for the handler. Calls `onRead` with it: at once if there is none, and
 * with `undefined` if it is longer than `maxBytes`, was read by middleware in front, or the client has left.
 */
export function peekContent(
  request: IncomingMessage,
  maxBytes: number,
  onRead: (content: Buffer | undefined) => void,
): void {
  const length = Number(request.headers['content-length'] ?? 0)
  if (request.headers['transfer-encoding'] === undefined && length === 0) {
    onRead(Buffer.alloc(0))
    return
  }
  const isRead = request.readableDidRead || request.listenerCount('data') > 0
  if (length > maxBytes || isRead || request.destroyed) {
    onRead(undefined)
    return
  }
  const chunks: Buffer[] = []
  let bytes = 0
  const finish = (isComplete: boolean) => {
    request.off('readable', read).off('close', leave)
    const content = Buffer.concat(chunks)
    // Before the stream notices in the next tick that it has ended: it has not, then.
    if (bytes > 0 && !request.destroyed) request.unshift(content)
    onRead(isComplete ? content : undefined)
  }
  const leave = () => finish(false)
  const read = () => {
    for (let chunk = request.read(); chunk !== null; chunk = request.read()) {
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (bytes > maxBytes) return finish(false)
    }
    if (request.complete) finish(true)
  }
  request.on('readable', read).on('close', leave)
}

/** The keys of a request with content. No key of a request without begins like them. */
export function withContent(
  { key, url }: RequestKeys,
  { headers }: IncomingMessage,
  content: Buffer,
): RequestKeys {
  const meaning = contentHeaders.map((name) => headers[name] ?? null)
  const hash = createHash('sha256').update(JSON.stringify(meaning)).update(content)
  return { url, key: `http:query:${hash.digest('base64url')}:${key}`, content }
}
