import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What became of a request instead of being passed on. `undefined`: it is passed on. */
export type Reply = { readonly status?: number; readonly body: object } | 'lose the answer'

export interface FaultServer {
  readonly port: number
  readonly url: string
  /** Names of the requests that came, in order. */
  readonly requests: string[]
  /** Decides what happens to a request, of which it is told the name and the body. */
  decide: (name: string, body: Body) => Reply | undefined | Promise<Reply | undefined>
  /** Passes a request on, to answer something else. */
  pass: (name: string, body: object) => Promise<Body>
  stop(): Promise<void>
}

// biome-ignore lint/suspicious/noExplicitAny: what a request contains is the affair of who looks into it
export type Body = Record<string, any>

/** An HTTP server in front of an engine, that passes requests on unless it is told otherwise. */
export async function startFaultServer(target: string): Promise<FaultServer> {
  const headers = new Map<string, IncomingMessage['headers']>()
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const body = await textOf(incoming)
    const name = `${incoming.headers['x-amz-target']}`.split('.')[1] ?? ''
    headers.set(name, incoming.headers)
    faults.requests.push(name)
    const reply = await faults.decide(name, JSON.parse(body))
    if (reply !== undefined && reply !== 'lose the answer') {
      return answer(outgoing, reply.status ?? 200, JSON.stringify(reply.body))
    }
    const passed = await send(target, incoming.headers, body)
    if (reply === 'lose the answer') incoming.socket.resetAndDestroy()
    else answer(outgoing, passed.status, passed.body)
  }
  const server = createServer((incoming, outgoing) => {
    // Whoever asked, or the engine, may be gone by now.
    serve(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const faults: FaultServer = {
    port: (server.address() as AddressInfo).port,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    decide: () => undefined,
    pass: async (name, body) =>
      JSON.parse((await send(target, headers.get(name) ?? {}, JSON.stringify(body))).body),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return faults
}

/** An answer of the server that says no, such as `ThrottlingException`. */
export function refusal(name: string, message = 'no', status = 400): Reply {
  return { status, body: { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message } }
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function answer(outgoing: ServerResponse, status: number, body: string): void {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(body)
}

/** The engines do not check signatures, so that of another body does. */
async function send(target: string, headers: IncomingMessage['headers'], body: string) {
  const length = { 'content-length': Buffer.byteLength(body) }
  const outgoing = request(target, { method: 'POST', headers: { ...headers, ...length } })
  outgoing.end(body)
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: incoming.statusCode ?? 500, body: await textOf(incoming) }
}
