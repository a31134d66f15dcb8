// A process with a near cache: fork(near-process.mjs, ['<job as JSON>']). It writes and reads random keys until its parent
// sends a message, and then sends what it has done.
import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { postgresBus } from '@stowage/postgres'
import { redisBus, redisTracking } from '@stowage/redis'
import { machineTime } from '../remember/processes/machine-time.mjs'

/** @typedef {import('./judge.ts').Call} Call */

const job = JSON.parse(process.argv[2] ?? '{}')
const { driver: name, options, bus: busKind, busUrl, ttl, id, keys, writes, hasLag } = job
const callsPerBatch = 20
const { default: driver } = await import(`@stowage/${name}`)
const bus = createBus()
const cache = new Cache(driver.create(options), { prefix: 'near:', near: { ttl, bus } })
/** @type {Call[]} */
const calls = []
let values = 0
let hitsWhileDisconnected = 0
let isEnding = false

process.on('message', () => {
  isEnding = true
})
process.once('disconnect', () => process.exit(0))
while (cache.near?.stats.serving === false) {
  await cache.get('subscribes').catch(() => {})
  await sleep(5)
}
process.send?.({ isReady: true })
while (!isEnding) {
  await Promise.all(Array.from({ length: callsPerBatch }, call))
  // Leaves the cores to the servers, and to other tests.
  await sleep(5)
}
const hits = cache.near?.stats.hits
// It ends when the parent has received the report and disconnects.
process.send?.({ calls, hits, hitsWhileDisconnected })

/** Few writes, so that most entries live until their ttl ends. */
async function call() {
  const key = keys[Math.floor(Math.random() * keys.length)]
  const draw = writes ? Math.random() : 1
  if (draw < 0.01) await write(key, `${id}-${values++}`)
  else if (draw < 0.012) await write(key, undefined)
  else await read(key)
}

/** @param {string} key @param {string | undefined} value */
async function write(key, value) {
  const start = machineTime()
  const done = value === undefined ? cache.delete(key) : cache.set(key, value, { ttl: '1h' })
  const isAcknowledged = await done.then(
    () => true,
    () => false,
  )
  calls.push({ op: 'write', process: id, key, value, start, end: machineTime(), isAcknowledged })
}

/** @param {string} key */
async function read(key) {
  const [start, before, wasConnected] = [machineTime(), cache.near?.stats.hits, bus?.connected]
  const wasServing = cache.near?.stats.serving
  const reading = cache.get(key)
  if (wasConnected === false && bus?.connected === false && cache.near?.stats.hits !== before) {
    hitsWhileDisconnected++
  }
  const value = /** @type {string | undefined} */ (await reading.catch(() => undefined))
  // While the near cache does not serve, a replica that lags behind may.
  if (value === undefined || (hasLag && !wasServing)) return
  const end = machineTime()
  calls.push({ op: 'read', process: id, key, value, start, end, isAcknowledged: true })
}

function createBus() {
  if (busKind === 'none') return undefined
  const create = { tracking: redisTracking, postgres: postgresBus }[busKind] ?? redisBus
  return disturbed(create({ url: busUrl }))
}

/** Delivers messages late, out of order and twice. @param {import('@stowage/core').InvalidationBus} inner */
function disturbed(inner) {
  return {
    get connected() {
      return inner.connected
    },
    /** @param {readonly string[]} keys */
    publish: (keys) => inner.publish(keys),
    /** @param {import('@stowage/core').InvalidationListener} listener */
    subscribe: (listener) =>
      inner.subscribe((changed) => {
        if (changed === undefined || Math.random() < 0.5) return listener(changed)
        setTimeout(() => listener(changed), Math.random() * 20)
        if (Math.random() < 0.2) setTimeout(() => listener(changed), Math.random() * 40)
      }),
    close: () => inner.close(),
  }
}
