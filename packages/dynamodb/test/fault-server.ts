import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/**
 * What to do instead of forwarding a request. `'drop the reply'` forwards it and then resets the connection; `'half the
 * reply'` forwards it, and the reply ends in the middle without the connection being closed; `'reset'` resets the
 * connection at once.
 */
export type Reply =
  | {
      readonly status?: number
      readonly body: object | string
      readonly headers?: Record<string, string>
    }
  | 'drop the reply'
  | 'half the reply'
  | 'reset'

export interface FaultServer {
  readonly port: number
  readonly url: string
  /** API actions of the received requests, in order. */
  readonly requests: string[]
  /** The keys of the received requests for one item, in order. */
  readonly keys: string[]
  /** Headers of the last request. */
  readonly headers: IncomingMessage['headers']
  /** Number of open connections. */
  readonly connections: number
  /** Returns what to do with a request; `undefined` forwards it. */
  decide: (name: string, body: Body) => Reply | undefined | Promise<Reply | undefined>
  /** Forwards a request and returns the reply, so that `decide` can change it. */
  forward: (name: string, body: object) => Promise<Body>
  stop(): Promise<void>
}

// biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of the requests it changes
export type Body = Record<string, any>

/** An HTTP server that forwards requests to an engine unless `decide` returns a reply. */
export async function startFaultServer(target: string): Promise<FaultServer> {
  const headers = new Map<string, IncomingMessage['headers']>()
  let lastHeaders: IncomingMessage['headers'] = {}
  const sockets = new Set<Socket>()
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await textOf(incoming)
    const name = `${incoming.headers['x-amz-target']}`.split('.')[1] ?? ''
    headers.set(name, incoming.headers)
    lastHeaders = incoming.headers
    faults.requests.push(name)
    const parsed: Body = JSON.parse(body)
    if (parsed.Key !== undefined) faults.keys.push(parsed.Key.key?.S)
    const reply = await faults.decide(name, parsed)
    if (reply === 'reset') return incoming.socket.resetAndDestroy()
    if (typeof reply === 'object') {
      const text = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body)
      return respond(outgoing, reply.status ?? 200, text, reply.headers)
    }
    const forwarded = await send(target, incoming.headers, body)
    if (reply === 'drop the reply') return incoming.socket.resetAndDestroy()
    if (reply === undefined) return respond(outgoing, forwarded.status, forwarded.body)
    outgoing.writeHead(forwarded.status, { 'content-length': Buffer.byteLength(forwarded.body) })
    outgoing.write(forwarded.body.slice(0, forwarded.body.length / 2))
  }
  const server = createServer((incoming, outgoing) => {
    // The client or the engine may have closed its connection.
    serve(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    // Otherwise the server waits for the rest of a reply after the client has closed the connection.
    socket.once('end', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const faults: FaultServer = {
    port: (server.address() as AddressInfo).port,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    keys: [],
    get headers() {
      return lastHeaders
    },
    get connections() {
      return sockets.size
    },
    decide: () => undefined,
    forward: async (name, body) =>
      JSON.parse((await send(target, headers.get(name) ?? {}, JSON.stringify(body))).body),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return faults
}

/** The reply of the server for an exception, for example `ThrottlingException`. */
export function exception(name: string, message = 'rejected', status = 400): Reply {
  return { status, body: { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message } }
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function respond(
  outgoing: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', ...headers }).end(body)
}

/** The headers may belong to a request with another body: the engines do not check signatures. */
async function send(target: string, headers: IncomingMessage['headers'], body: string) {
  const length = { 'content-length': Buffer.byteLength(body) }
  const outgoing = request(target, { method: 'POST', headers: { ...headers, ...length } })
  outgoing.end(body)
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: incoming.statusCode ?? 500, body: await textOf(incoming) }
}
