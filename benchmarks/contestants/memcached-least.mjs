import { connect } from 'node:net'
import { hourMs } from '../lib/dataset.mjs'

const headerBytes = 24
const blockBytes = 256 * 1024
const opcodes = { get: 0x00, set: 0x01, getQuiet: 0x09, noop: 0x0a }
const none = Buffer.alloc(0)

/**
 * No client: the least that takes a command to memcached and back in Node, one promise and one request each, to see
 * what is left for a client to spend. The requests are made beforehand, of an answer nothing is looked at but where it
 * ends, and nothing is ever late, lost or missing.
 */
export async function bytes(servers) {
  const connections = await Promise.all(servers.map(open))
  const known = new Map()
  const entryOf = (key) => {
    if (!known.has(key)) known.set(key, { connection: placed(connections, known.size), key })
    return known.get(key)
  }
  const get = (key) => {
    const entry = entryOf(key)
    entry.get ??= request(opcodes.get, key, none, none)
    return entry.connection.send(entry.get)
  }
  const set = (key, value) => {
    const entry = entryOf(key)
    entry.set ??= request(opcodes.set, key, flagsAndExpiry(), value)
    return entry.connection.send(entry.set)
  }
  const batches = new Map()
  const getMany = async (keys) => {
    if (!batches.has(keys)) batches.set(keys, batchesOf(connections, keys.map(entryOf)))
    const values = new Array(keys.length)
    const answered = ({ connection, bytes, indexes }) =>
      connection.send(bytes).then((found) => {
        for (let i = 0; i < indexes.length; i++) values[indexes[i]] = found[i]
      })
    await Promise.all(batches.get(keys).map(answered))
    return values
  }
  return {
    get,
    set,
    getMany,
    async close() {
      for (const { socket } of connections) socket.destroy()
    },
  }
}

/** Evenly, and not in turn: neighbours among the keys are none on the nodes, as with any ring. */
function placed(connections, number) {
  return connections[(Math.imul(number, 0x9e3779b1) >>> 8) % connections.length]
}

/** For each connection, its keys in requests that are answered by their value alone, and one that ends them. */
function batchesOf(connections, entries) {
  const end = request(opcodes.noop, '', none, none)
  return connections.map((connection) => {
    const indexes = [...entries.keys()].filter((i) => entries[i].connection === connection)
    const gets = indexes.map((i) => request(opcodes.getQuiet, entries[i].key, none, none))
    return { connection, indexes, bytes: Buffer.concat([...gets, end]) }
  })
}

function flagsAndExpiry() {
  const extras = Buffer.alloc(8)
  extras.writeUInt32BE(hourMs / 1_000, 4)
  return extras
}

function request(opcode, key, extras, value) {
  const header = Buffer.alloc(headerBytes)
  header[0] = 0x80
  header[1] = opcode
  header.writeUInt16BE(key.length, 2)
  header[4] = extras.length
  header.writeUInt32BE(extras.length + key.length + value.length, 8)
  return Buffer.concat([header, extras, Buffer.from(key), value])
}

/** A connection that sends in one write what was asked for in a turn of the event loop. */
async function open(server) {
  const [host, port] = server.split(':')
  const socket = connect({ host, port: Number(port), noDelay: true })
  await new Promise((resolve) => socket.once('connect', resolve))
  const waiting = []
  let next = 0
  let block = Buffer.allocUnsafeSlow(blockBytes)
  let start = 0
  let end = 0
  let rest = none
  let found = []
  const flush = () => {
    socket.write(block.subarray(start, end))
    start = end
  }
  socket.on('data', (piece) => {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let at = 0
    while (at + headerBytes <= bytes.length) {
      const after = at + headerBytes + bytes.readUInt32BE(at + 8)
      if (after > bytes.length) break
      const opcode = bytes[at + 1]
      const value = bytes.subarray(at + headerBytes + bytes[at + 4], after)
      if (opcode === opcodes.getQuiet) found.push(value)
      else if (opcode !== opcodes.noop) waiting[next++](value)
      else {
        waiting[next++](found)
        found = []
      }
      at = after
    }
    rest = bytes.subarray(at)
    if (next < waiting.length) return
    waiting.length = 0
    next = 0
  })
  const send = (request) =>
    new Promise((resolve) => {
      if (end + request.length > blockBytes) {
        if (end > start) flush()
        block = Buffer.allocUnsafeSlow(blockBytes)
        start = 0
        end = 0
      }
      if (start === end) (next < waiting.length ? setImmediate : process.nextTick)(flush)
      block.set(request, end)
      end += request.length
      waiting.push(resolve)
    })
  return { socket, send }
}
