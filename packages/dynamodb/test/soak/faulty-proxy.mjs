import { once } from 'node:events'
import { createServer, request } from 'node:http'

/** @typedef {'none' | 'frozen' | 'half answered' | 'throttled' | 'reset' | 'failing' | 'slow' | 'unprocessed'} Fault */

/** @type {readonly Fault[]} */
export const faults = [
  'frozen',
  'half answered',
  'throttled',
  'reset',
  'failing',
  'slow',
  'unprocessed',
]

/** An HTTP proxy in front of an engine that injects a fault into a share of the requests. */
export class FaultyProxy {
  /** @type {Fault} */
  fault = 'none'
  /** The share of the requests that have the fault. */
  share = 1
  injected = 0
  #sockets = new Set()
  #target
  #server = createServer((incoming, outgoing) => {
    this.#serve(incoming, outgoing).catch(() => outgoing.destroy())
  })

  /** @param {string} target */
  constructor(target) {
    this.#target = target
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  get url() {
    const { port } = /** @type {import('node:net').AddressInfo} */ (this.#server.address())
    return `http://127.0.0.1:${port}`
  }

  /** Number of open connections. */
  get connections() {
    return this.#sockets.size
  }

  async listen() {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  stop() {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /**
   * @param {import('node:http').IncomingMessage} incoming
   * @param {import('node:http').ServerResponse} outgoing
   */
  async #serve(incoming, outgoing) {
    const body = await textOf(incoming)
    const fault = Math.random() < this.share ? this.fault : 'none'
    if (fault !== 'none') this.injected++
    switch (fault) {
      case 'frozen':
        return
      case 'throttled':
        return respond(outgoing, 400, exception('ThrottlingException'))
      case 'failing':
        return respond(outgoing, 500, exception('InternalServerError'))
      case 'unprocessed':
        return leaveUnprocessed(incoming, outgoing, body)
      case 'reset':
        // Before or after the engine has carried out the request.
        if (Math.random() < 0.5) await this.#forward(incoming, body)
        return void incoming.socket.resetAndDestroy()
    }
    const reply = await this.#forward(incoming, body)
    if (fault === 'slow') await new Promise((resolve) => setTimeout(resolve, 100))
    if (fault !== 'half answered') return respond(outgoing, reply.status, reply.body)
    outgoing.writeHead(reply.status, { 'content-length': Buffer.byteLength(reply.body) })
    outgoing.write(reply.body.slice(0, 1))
  }

  /**
   * @param {import('node:http').IncomingMessage} incoming
   * @param {string} body
   */
  async #forward(incoming, body) {
    const outgoing = request(this.#target, { method: 'POST', headers: incoming.headers })
    outgoing.end(body)
    const [reply] = await once(outgoing, 'response')
    return { status: reply.statusCode, body: await textOf(reply) }
  }
}

/** @param {import('node:http').IncomingMessage} message */
async function textOf(message) {
  const chunks = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/**
 * @param {import('node:http').ServerResponse} outgoing
 * @param {number} status
 * @param {string} body
 */
function respond(outgoing, status, body) {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(body)
}

/** @param {string} name */
function exception(name) {
  return JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${name}`, message: 'injected' })
}

/**
 * Leaves a whole batch unprocessed. Other requests are throttled.
 * @param {import('node:http').IncomingMessage} incoming
 * @param {import('node:http').ServerResponse} outgoing
 * @param {string} body
 */
function leaveUnprocessed(incoming, outgoing, body) {
  const { RequestItems } = JSON.parse(body)
  if (RequestItems === undefined) return respond(outgoing, 400, exception('ThrottlingException'))
  const isRead = String(incoming.headers['x-amz-target']).endsWith('BatchGetItem')
  const member = isRead ? 'UnprocessedKeys' : 'UnprocessedItems'
  respond(outgoing, 200, JSON.stringify({ Responses: {}, [member]: RequestItems }))
}
