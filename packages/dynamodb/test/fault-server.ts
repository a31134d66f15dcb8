import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What to do instead of forwarding a request; `'drop the reply'` forwards it and then resets the connection. */
export type Reply = { readonly status?: number; readonly body: object } | 'drop the reply'

export interface FaultServer {
  readonly port: number
  readonly url: string
  /** API actions of the received requests, in order. */
  readonly requests: string[]
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
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await textOf(incoming)
    const name = `${incoming.headers['x-amz-target']}`.split('.')[1] ?? ''
    headers.set(name, incoming.headers)
    faults.requests.push(name)
    const reply = await faults.decide(name, JSON.parse(body))
    if (reply !== undefined && reply !== 'drop the reply') {
      return respond(outgoing, reply.status ?? 200, JSON.stringify(reply.body))
    }
    const forwarded = await send(target, incoming.headers, body)
    if (reply === 'drop the reply') incoming.socket.resetAndDestroy()
    else respond(outgoing, forwarded.status, forwarded.body)
  }
  const server = createServer((incoming, outgoing) => {
    // The client or the engine may have closed its connection.
    serve(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const faults: FaultServer = {
    port: (server.address() as AddressInfo).port,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
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

function respond(outgoing: ServerResponse, status: number, body: string): void {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(body)
}

/** The headers may belong to a request with another body: the engines do not check signatures. */
async function send(target: string, headers: IncomingMessage['headers'], body: string) {
  const length = { 'content-length': Buffer.byteLength(body) }
  const outgoing = request(target, { method: 'POST', headers: { ...headers, ...length } })
  outgoing.end(body)
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: incoming.statusCode ?? 500, body: await textOf(incoming) }
}
