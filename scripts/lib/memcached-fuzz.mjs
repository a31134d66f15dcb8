import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { startProxy } from './fault-proxy.mjs'
import { startMemcached } from './memcached-server.mjs'

const workers = 8
const keys = Array.from({ length: 50 }, (_, index) => `key:${index}`)
const hangMs = 5_000

/**
 * @typedef {object} FuzzResult
 * @property {number} answered calls that were answered rightly
 * @property {number} failed calls that ended in a coded error
 * @property {string[]} wrong what no call may end in
 * @property {number} hung calls that had not ended long after their deadline
 * @property {number} asked calls once the faults were over, one for each key
 * @property {number} well of those, the ones that were right
 * @property {number} connections open at the end, on the wire
 * @property {number} sockets that the store has not destroyed by then
 * @property {number} faults
 */

/**
 * Works on a real server through a wire that is cut, muted, slow and refusing by turns, and a server that is stopped
 * now and then. Every value says which key it is of, so that one that was mixed up is noticed.
 * @param {number} ms
 * @param {import('@stowage/memcached').MemcachedOptions} [options]
 * @returns {Promise<FuzzResult>}
 */
export async function fuzzMemcached(ms, options = {}) {
  const server = await startMemcached()
  const wire = await startProxy(server.port)
  const store = memcached({
    servers: [`127.0.0.1:${wire.port}`],
    timeout: '150ms',
    connectTimeout: '150ms',
    retryInterval: '100ms',
    ...options,
  })
  const result = {
    ...{ answered: 0, failed: 0, wrong: [], hung: 0, faults: 0 },
    ...{ asked: keys.length, well: 0, connections: 0, sockets: 0 },
  }
  const opened = watchSockets(wire.port)
  const tally = { asked: 0, done: 0 }
  let over = false
  try {
    const working = Array.from({ length: workers }, () => work(store, tally, result, () => over))
    await misbehave(wire, server, ms, result)
    over = true
    await Promise.all(working)
    // Takes back an answer that was to be lost and has not come yet.
    wire.cutReplies({ after: Infinity })
    await healed(store)
    const values = await Promise.all(keys.map((key) => round(store, key)))
    result.well = values.filter(Boolean).length
    result.connections = await settledConnections(wire)
    result.sockets = opened.left()
  } finally {
    over = true
    opened.stop()
    await store.close()
    await wire.stop()
    await server.stop()
  }
  return result
}

/** @param {any} store @param {{ asked: number, done: number }} tally @param {any} result @param {() => boolean} isOver */
async function work(store, tally, result, isOver) {
  while (!isOver()) {
    const calls = Array.from({ length: 1 + random(5) }, () => anyCall(store, tally))
    await Promise.all(calls.map((call) => judge(call, result)))
    await sleep(0)
  }
}

/**
 * @param {any} store @param {{ asked: number, done: number }} tally of increments, each of which counts once or, where it failed, perhaps
 * @returns {Promise<string | undefined>} what is wrong
 */
async function anyCall(store, tally) {
  const key = keys[random(keys.length)]
  const kind = random(10)
  if (kind < 4) return mixedUp(key, await store.get(key))
  if (kind < 7) return store.set(key, valueFor(key), 60_000)
  if (kind < 8) {
    const asked = keys.slice(random(40)).slice(0, 10)
    const found = await store.getMany(asked)
    return asked.map((each, index) => mixedUp(each, found[index])).find(Boolean)
  }
  if (kind < 9) {
    tally.asked++
    const sum = await store.increment('counter', 1)
    tally.done++
    return sum >= tally.done && sum <= tally.asked ? undefined : `the sum is ${sum}`
  }
  await store.delete(key)
  return undefined
}

/** @param {string} key */
function valueFor(key) {
  return `${key}|${'x'.repeat(random(10) === 0 ? random(100_000) : random(200))}|${key}`
}

/** @param {string} key @param {unknown} value @returns {string | undefined} */
function mixedUp(key, value) {
  if (value === undefined) return undefined
  const text = String(value)
  const whole = text.startsWith(`${key}|`) && text.endsWith(`|${key}`)
  return whole ? undefined : `${key} has ${text.slice(0, 40)}`
}

/** @param {Promise<string | undefined>} call @param {any} result */
async function judge(call, result) {
  const hung = sleep(hangMs, 'hung', { ref: false })
  try {
    const outcome = await Promise.race([call, hung])
    if (outcome === 'hung') result.hung++
    else if (outcome === undefined) result.answered++
    else result.wrong.push(outcome)
  } catch (error) {
    if (CacheError.is(error) && error.retryable) result.failed++
    else result.wrong.push(String(error))
  }
}

/** @param {any} wire @param {any} server @param {number} ms @param {any} result */
async function misbehave(wire, server, ms, result) {
  const faults = [
    async () => wire.cut(),
    async () => void wire.cutReplies({ after: random(5_000) }),
    async () => void wire.cutReplies(),
    async () => during(300, (on) => wire.mute(on)),
    async () => during(200, (on) => wire.mute(on, 'replies')),
    async () => during(200, (on) => wire.delay(on ? 20 : 0)),
    async () =>
      during(100, (on) => {
        wire.refuse(on)
        if (on) wire.cut()
      }),
    async () => during(300, (on) => server.kill(on ? 'SIGSTOP' : 'SIGCONT')),
  ]
  const end = performance.now() + ms
  while (performance.now() < end) {
    await sleep(20 + random(100))
    await faults[random(faults.length)]()
    result.faults++
  }
}

/** @param {number} ms @param {(on: boolean) => unknown} fault */
async function during(ms, fault) {
  fault(true)
  await sleep(ms)
  fault(false)
}

/** @param {any} store */
async function healed(store) {
  const deadline = performance.now() + 20_000
  for (;;) {
    try {
      await store.ping()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(20)
    }
  }
}

/** Counts the sockets of this process that lead to a port. @param {number} port */
function watchSockets(port) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set()
  const name = 'net.client.socket'
  const note = (/** @type {any} */ { socket }) => sockets.add(socket)
  subscribe(name, note)
  const isLeft = (/** @type {import('node:net').Socket} */ socket) =>
    !socket.destroyed && (socket.connecting || socket.remotePort === port)
  return { left: () => [...sockets].filter(isLeft).length, stop: () => unsubscribe(name, note) }
}

/** What was ended here is open at the other end of the wire for a moment. @param {any} wire */
async function settledConnections(wire) {
  for (let waited = 0; waited < 5_000 && wire.connections > 1; waited += 20) await sleep(20)
  return wire.connections
}

/** @param {any} store @param {string} key */
async function round(store, key) {
  try {
    await store.set(key, valueFor(key))
    return mixedUp(key, (await store.get(key)) ?? 'nothing') === undefined
  } catch {
    return false
  }
}

/** @param {number} below */
function random(below) {
  return Math.floor(Math.random() * below)
}
