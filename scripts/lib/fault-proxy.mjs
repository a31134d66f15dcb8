import { connect, createServer } from 'node:net'

/** What one direction of one connection may hold before its sender is made to wait. */
const maxHeldBytes = 1024 * 1024

/** @typedef {'requests' | 'replies'} Direction from the client to the server, or back */
/** @typedef {Direction | 'both'} Directions */
/** @typedef {number | (() => number)} Target a port of the loopback interface */
/** @typedef {import('node:net').Socket} Socket */

/**
 * A TCP proxy on a free loopback port that can be told to misbehave. Until then it is transparent.
 * @param {Target} target
 * @returns {Promise<FaultProxy>}
 */
export async function startProxy(target) {
  const proxy = new FaultProxy(target)
  await proxy.listen()
  return proxy
}

/** The faults in force and what went through; shared by all connections of a proxy. */
class Traffic {
  delay = { requests: 0, replies: 0 }
  muted = { requests: false, replies: false }
  bytes = { requests: 0, replies: 0 }
  chunks = { requests: 0, replies: 0 }
  /** @type {{ after: number, done: () => void } | undefined} */
  cut

  /**
   * Counts a chunk that is about to be delivered.
   * @param {Direction} direction @param {Buffer} chunk
   * @returns {Buffer} what of it may be delivered; where that is less, the connection ends with it
   */
  admit(direction, chunk) {
    const kept = direction === 'replies' && this.cut ? chunk.subarray(0, this.cut.after) : chunk
    this.bytes[direction] += kept.length
    if (kept.length > 0) this.chunks[direction]++
    if (kept.length < chunk.length) this.#cutDone()
    else if (direction === 'replies' && this.cut) this.cut.after -= kept.length
    return kept
  }

  #cutDone() {
    this.cut?.done()
    this.cut = undefined
  }
}

/** One direction of one connection: a queue, so that bytes keep their order under every delay. */
class Lane {
  /** @type {{ chunk: Buffer | undefined, arrived: number }[]} */
  #queue = []
  #held = 0
  /** @type {NodeJS.Timeout | undefined} */
  #timer

  /**
   * @param {Socket} source @param {Socket} sink @param {Direction} direction
   * @param {Traffic} traffic @param {(kept: Buffer) => void} lose
   */
  constructor(source, sink, direction, traffic, lose) {
    this.source = source
    this.sink = sink
    this.direction = direction
    this.traffic = traffic
    this.lose = lose
    source.on('data', (chunk) => this.#take(chunk))
    source.on('end', () => this.#take(undefined))
    sink.on('drain', () => this.flow())
    sink.on('close', () => this.#clear())
  }

  /** Delivers what is due. */
  flow() {
    clearTimeout(this.#timer)
    for (let next = this.#queue[0]; next && this.#mayDeliver(); next = this.#queue[0]) {
      const due = next.arrived + this.traffic.delay[this.direction]
      const wait = due - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(() => this.flow(), Math.ceil(wait))
        return
      }
      this.#queue.shift()
      this.#deliver(next.chunk)
    }
  }

  #mayDeliver() {
    const { sink, traffic, direction } = this
    return sink.writable && !sink.writableNeedDrain && !traffic.muted[direction]
  }

  /** @param {Buffer | undefined} chunk nothing for the end of the stream */
  #take(chunk) {
    this.#queue.push({ chunk, arrived: performance.now() })
    this.#held += chunk?.length ?? 0
    if (this.#held >= maxHeldBytes) this.source.pause()
    this.flow()
  }

  /** @param {Buffer | undefined} chunk */
  #deliver(chunk) {
    if (chunk === undefined) return this.sink.end()
    this.#held -= chunk.length
    if (this.source.isPaused() && this.#held < maxHeldBytes / 2) this.source.resume()
    const kept = this.traffic.admit(this.direction, chunk)
    if (kept.length < chunk.length) this.lose(kept)
    else this.sink.write(chunk)
  }

  #clear() {
    clearTimeout(this.#timer)
    this.#queue = []
  }
}

/** A client's connection and the one to the server that belongs to it. */
class Pair {
  /** @param {Socket} client @param {Socket} server @param {Traffic} traffic */
  constructor(client, server, traffic) {
    this.sockets = [client, server]
    const lose = (/** @type {Buffer} */ kept) => this.#endWith(kept)
    this.lanes = [
      new Lane(client, server, 'requests', traffic, lose),
      new Lane(server, client, 'replies', traffic, lose),
    ]
    for (const socket of this.sockets) socket.on('error', () => this.reset())
    this.closed = Promise.all(this.sockets.map(closed))
  }

  reset() {
    for (const socket of this.sockets) reset(socket)
  }

  /** @param {Buffer} kept */
  #endWith(kept) {
    const [client, server] = this.sockets
    if (kept.length === 0) return this.reset()
    reset(server)
    // A reset could overtake the bytes that are to arrive.
    client.end(kept, () => client.destroy())
  }
}

export class FaultProxy {
  #traffic = new Traffic()
  #target
  #refusing = false
  /** @type {Set<Pair>} */
  #pairs = new Set()
  #server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#take(client))

  port = 0
  /** Connections passed on, and connections reset at once by `refuse`, since the start. */
  accepted = 0
  refused = 0

  /** @param {Target} target */
  constructor(target) {
    this.#target = target
  }

  /** @returns {Promise<void>} */
  listen() {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', () => {
        const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address())
        this.port = address.port
        resolve()
      })
    })
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Connections open now. */
  get connections() {
    return this.#pairs.size
  }

  /** Bytes delivered since the start. */
  get bytes() {
    return { ...this.#traffic.bytes }
  }

  /** Pieces those bytes were delivered in. */
  get chunks() {
    return { ...this.#traffic.chunks }
  }

  /**
   * Holds every byte for so long, in order; in force at once also for the bytes held already. At most 1 MiB
   * is held per connection and direction, then the sender waits.
   * @param {number} ms
   * @param {Directions} [direction]
   */
  delay(ms, direction = 'both') {
    this.#set(this.#traffic.delay, ms, direction)
  }

  /**
   * A black hole: connections stay open, new ones are accepted, and nothing arrives, neither bytes nor the
   * end of a stream. Switched off, what was held is delivered, as TCP does once a network has healed.
   * @param {boolean} on
   * @param {Directions} [direction]
   */
  mute(on, direction = 'both') {
    this.#set(this.#traffic.muted, on, direction)
  }

  /** Resets all connections. What the proxy still held is lost. New connections are served. */
  cut() {
    for (const pair of this.#pairs) pair.reset()
  }

  /**
   * Resets new connections; the open ones go on. The port stays taken, so that no other process gets it:
   * a client sees a connection that is reset at once.
   * @param {boolean} on
   */
  refuse(on) {
    this.#refusing = on
  }

  /**
   * Loses an answer, once: the next bytes of a reply, on whichever connection they come, are dropped and
   * that connection ends. The server has executed the command.
   * @param {{ after?: number }} [options] so many bytes of replies still arrive
   * @returns {Promise<void>} resolves when it has happened
   */
  cutReplies({ after = 0 } = {}) {
    return new Promise((resolve) => {
      this.#traffic.cut = { after, done: resolve }
    })
  }

  /**
   * Leads new connections elsewhere; the open ones stay where they are.
   * @param {Target} target
   */
  retarget(target) {
    this.#target = target
  }

  /** @returns {Promise<void>} */
  async stop() {
    this.refuse(true)
    const ended = new Promise((resolve) => this.#server.close(() => resolve(undefined)))
    this.cut()
    await ended
  }

  /** @param {Record<Direction, unknown>} setting @param {unknown} value @param {Directions} which */
  #set(setting, value, which) {
    if (which !== 'replies') setting.requests = value
    if (which !== 'requests') setting.replies = value
    for (const lane of [...this.#pairs].flatMap((pair) => pair.lanes)) lane.flow()
  }

  /** @param {Socket} client */
  #take(client) {
    if (this.#refusing) return this.#refuse(client)
    this.accepted++
    const port = typeof this.#target === 'function' ? this.#target() : this.#target
    const options = { port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }
    const pair = new Pair(client, connect(options), this.#traffic)
    this.#pairs.add(pair)
    pair.closed.then(() => this.#pairs.delete(pair))
  }

  /** @param {Socket} client */
  #refuse(client) {
    this.refused++
    client.on('error', () => {})
    client.resetAndDestroy()
  }
}

/**
 * A stream whose end is on its way can no longer be reset: Node would neither close it nor let the process exit.
 * @param {Socket} socket
 */
function reset(socket) {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** @param {Socket} socket @returns {Promise<void>} */
function closed(socket) {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}
