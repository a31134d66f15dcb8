import { connect } from 'node:net'
import { hourMs } from '../../lib/workloads/dataset.mjs'

const headerBytes = 24
const blockBytes = 256 * 1024
const opcodes = { get: 0x00, set: 0x01, getQuiet: 0x09, noop: 0x0a }
const none = Buffer.alloc(0)

/**
 * Not a usable client: the minimum that sends commands to memcached and receives the replies in Node, with one promise
 * and one request per command. It shows how much time is left for a client to spend. Requests are encoded once and
 * reused; of a reply only the length and the value are read. Misses, errors and timeouts are not handled.
 */
export async function bytes({ servers }) {
  const connections = await Promise.all(servers.map(open))
  const entries = new Map()
  const entryOf = (key) => {
    if (!entries.has(key)) {
      entries.set(key, { key, connection: connectionFor(connections, entries.size) })
    }
    return entries.get(key)
  }
  // By the array of keys: a workload reuses its arrays.
  const batches = new Map()
  const batchesFor = (keys) => {
    if (!batches.has(keys)) batches.set(keys, encodeBatches(connections, keys.map(entryOf)))
    return batches.get(keys)
  }
  return {
    get(key) {
      const entry = entryOf(key)
      entry.get ??= encode(opcodes.get, key, none, none)
      return entry.connection.send(entry.get)
    },
    set(key, value) {
      const entry = entryOf(key)
      entry.set ??= encode(opcodes.set, key, flagsAndExpiry(), value)
      return entry.connection.send(entry.set)
    },
    async getMany(keys) {
      const values = new Array(keys.length)
      await Promise.all(batchesFor(keys).map((batch) => readBatch(batch, values)))
      return values
    },
    async close() {
      for (const { socket } of connections) socket.destroy()
    },
  }
}

/** Distributes the keys evenly, but not in turn: as on a hash ring, consecutive keys are on unrelated nodes. */
function connectionFor(connections, number) {
  return connections[(Math.imul(number, 0x9e3779b1) >>> 8) % connections.length]
}

/** For each connection: its keys as quiet gets, whose replies contain only the value, and a noop that ends the batch. */
function encodeBatches(connections, entries) {
  const end = encode(opcodes.noop, '', none, none)
  return connections.map((connection) => {
    const indexes = [...entries.keys()].filter((i) => entries[i].connection === connection)
    const gets = indexes.map((i) => encode(opcodes.getQuiet, entries[i].key, none, none))
    return { connection, indexes, bytes: Buffer.concat([...gets, end]) }
  })
}

function readBatch({ connection, bytes, indexes }, values) {
  return connection.send(bytes).then((found) => {
    for (let i = 0; i < indexes.length; i++) values[indexes[i]] = found[i]
  })
}

function flagsAndExpiry() {
  const extras = Buffer.alloc(8)
  extras.writeUInt32BE(hourMs / 1_000, 4)
  return extras
}

function encode(opcode, key, extras, value) {
  const header = Buffer.alloc(headerBytes)
  header[0] = 0x80
  header[1] = opcode
  header.writeUInt16BE(key.length, 2)
  header[4] = extras.length
  header.writeUInt32BE(extras.length + key.length + value.length, 8)
  return Buffer.concat([header, extras, Buffer.from(key), value])
}

async function open(server) {
  const [host, port] = server.split(':')
  const socket = connect({ host, port: Number(port), noDelay: true })
  await new Promise((resolve) => socket.once('connect', resolve))
  const pending = []
  receiveReplies(socket, pending)
  return { socket, send: requestSender(socket, pending) }
}

/** Resolves the pending requests in order. Empties the array when none is left. */
function receiveReplies(socket, pending) {
  let next = 0
  let rest = none
  let found = []
  socket.on('data', (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let start = 0
    while (start + headerBytes <= bytes.length) {
      const end = start + headerBytes + bytes.readUInt32BE(start + 8)
      if (end > bytes.length) break
      const opcode = bytes[start + 1]
      const value = bytes.subarray(start + headerBytes + bytes[start + 4], end)
      if (opcode === opcodes.getQuiet) found.push(value)
      else if (opcode !== opcodes.noop) pending[next++](value)
      else {
        pending[next++](found)
        found = []
      }
      start = end
    }
    rest = bytes.subarray(start)
    if (next < pending.length) return
    pending.length = 0
    next = 0
  })
}

/** Sends the requests of one turn of the event loop with one write. */
function requestSender(socket, pending) {
  let block = Buffer.allocUnsafeSlow(blockBytes)
  let start = 0
  let end = 0
  const flush = () => {
    socket.write(block.subarray(start, end))
    start = end
  }
  return (request) =>
    new Promise((resolve) => {
      if (end + request.length > blockBytes) {
        if (end > start) flush()
        block = Buffer.allocUnsafeSlow(blockBytes)
        start = 0
        end = 0
      }
      // Callers that receive replies send their next requests in the same turn: setImmediate writes them together.
      if (start === end) (pending.length > 0 ? setImmediate : process.nextTick)(flush)
      block.set(request, end)
      end += request.length
      pending.push(resolve)
    })
}
