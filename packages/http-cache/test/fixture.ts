import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { onTestFinished } from 'vitest'

/** A cache on a manual clock, and the operations of its store. */
export function setupCache({ intercept }: { intercept?: (operation: string) => unknown } = {}) {
  const clock = new ManualClock()
  const calls: string[] = []
  const backend = memory({ clock })
  const open = (): Cache => {
    const store = wrapStore(backend, async (operation, call) => {
      calls.push(operation)
      await intercept?.(operation)
      return call() as never
    })
    return new Cache(store as CacheStore, { clock, prefix: 'test:' })
  }
  return { clock, calls, backend, open, cache: open() }
}

export type Listener = (request: IncomingMessage, response: ServerResponse) => unknown

/** Starts a server. Returns functions that send requests to it. */
export async function serve(listener: Listener) {
  const server: Server = createServer((request, response) => void listener(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    get: (path: string, headers: Record<string, string> = {}, method = 'GET') =>
      request(port, path, headers, method),
    raw: (text: string | Uint8Array) => raw(port, text),
  }
}

export interface Reply {
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly body: string
  readonly bytes: Buffer
  /** The header `Cache-Status` without the name of the cache. */
  readonly cache: string
}

/** Sends a request without headers of its own, as `fetch` would add `Accept-Encoding`. */
async function request(
  port: number,
  path: string,
  headers: Record<string, string>,
  method: string,
): Promise<Reply> {
  const lines = Object.entries({ host: `127.0.0.1:${port}`, connection: 'close', ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return parse(await raw(port, `${method} ${path} HTTP/1.1\r\n${head}\r\n`), method)
}

/** Sends text as it is, and returns all that is received until the server closes the connection. */
function raw(port: number, text: string | Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('end', () => resolve(Buffer.concat(chunks)))
    socket.on('error', reject)
    socket.setTimeout(60_000, () => socket.destroy(new Error('no reply')))
  })
}

export function parse(bytes: Buffer, method = 'GET'): Reply {
  const end = bytes.indexOf('\r\n\r\n')
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const rest = method === 'HEAD' ? Buffer.alloc(0) : bytes.subarray(end + 4)
  const content = headers.get('transfer-encoding') === 'chunked' ? dechunked(rest) : rest
  const cache = (headers.get('cache-status') ?? '').replace(/^Stowage; /, '')
  return {
    status: Number(first.split(' ')[1]),
    statusText: first.split(' ').slice(2).join(' '),
    headers,
    body: content.toString(),
    bytes: content,
    cache,
  }
}

function dechunked(bytes: Buffer): Buffer {
  const chunks: Buffer[] = []
  let position = 0
  for (;;) {
    const end = bytes.indexOf('\r\n', position)
    if (end < 0) break
    const length = Number.parseInt(bytes.toString('latin1', position, end), 16)
    if (!(length > 0)) break
    chunks.push(bytes.subarray(end + 2, end + 2 + length))
    position = end + 4 + length
  }
  return Buffer.concat(chunks)
}

/** A promise that a test resolves. */
export function gate<T = void>() {
  let open!: (value: T) => void
  const opened = new Promise<T>((resolve) => {
    open = resolve
  })
  return { open, opened }
}
