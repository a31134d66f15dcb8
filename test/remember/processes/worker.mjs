// A process with a store and caches of its own: fork(worker.mjs, ['<job as JSON>']). It executes the requests of its
// parent, several at a time, and asks the parent for the value of each load. Durations are those for which this process ran.
import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { Stalls } from '@stowage/test-servers'
import { lockCommands } from '../../locks/processes/lock-commands.mjs'
import { machineTime } from './machine-time.mjs'

/**
 * @typedef {import('./worker-process.mjs').Outcome} Outcome
 * @typedef {import('./worker-process.mjs').LoadPlan} LoadPlan
 */

const { driver: name, options, clockShiftMs } = JSON.parse(process.argv[2] ?? '{}')
const systemNow = Date.now
Date.now = () => systemNow() + clockShiftMs
const { default: driver } = await import(`@stowage/${name}`)
const store = driver.create(options)
/** Its time stands still while the machine stops this process. */
const stalls = new Stalls()
/** @type {Map<string, any>} */
const caches = new Map()
/** Resolves a load's question for its value. @type {Map<number, (values: unknown[]) => void>} */
const questions = new Map()
/** The refreshes in the background. @type {Set<Promise<void>>} */
const refreshes = new Set()
let loads = 0

/** @type {Record<string, (request: any) => unknown>} */
const commands = {
  ...lockCommands((prefix) => cacheOf(prefix)),
  call: ({ prefix, method, args }) => cacheOf(prefix)[method](...args),
  refreshes: () => Promise.all(refreshes),
  remember: ({ calls, ...request }) =>
    Promise.all(Array.from({ length: calls }, () => outcomeOf(() => remember(request)))),
  rememberMany: ({ prefix, keys, options, load }) =>
    outcomeOf(() =>
      cacheOf(prefix).rememberMany(
        keys,
        options,
        async (/** @type {string[]} */ missing, /** @type {any} */ context) => {
          const values = await runLoad(missing, load, context)
          return new Map(missing.map((key, index) => [key, values[index]]))
        },
      ),
    ),
}

process.on('message', async (/** @type {any} */ message) => {
  if (message.values !== undefined) {
    questions.get(message.load)?.(message.values)
    questions.delete(message.load)
    return
  }
  const { id, command, ...request } = message
  try {
    tell({ id, value: await commands[command]?.(request) })
  } catch (error) {
    tell({ id, error: describe(error) })
  }
})
// The parent has ended, or no longer needs this process.
process.once('disconnect', () => process.exit(0))
await store.ping()
tell({ isReady: true })

/** @param {string} prefix */
function cacheOf(prefix) {
  const cache = caches.get(prefix) ?? new Cache(store, { prefix, waitUntil })
  caches.set(prefix, cache)
  return cache
}

/** @param {Promise<void>} refresh */
function waitUntil(refresh) {
  refreshes.add(refresh)
  refresh.then(() => refreshes.delete(refresh))
}

/** @param {any} request @returns {Promise<unknown>} */
function remember({ prefix, key, options, load }) {
  if (load.hasBody) return rememberBody({ prefix, key, options, load })
  return cacheOf(prefix).remember(key, options, async (/** @type {any} */ context) => {
    const [value] = await runLoad([key], load, context)
    if (load.nested !== undefined) await remember({ prefix, ...load.nested })
    return load.returnsNothing ? undefined : value
  })
}

/** Reads a body that the loader has stored beside its value. @param {any} request */
async function rememberBody({ prefix, key, options, load }) {
  const cache = cacheOf(prefix)
  const { body } = await cache.remember(key, options, async (/** @type {any} */ context) => {
    const [value] = await runLoad([key], load, context)
    return { body: context.addPart('body', Buffer.from(String(value))) }
  })
  return String(await cache.get(body, { consistency: 'strong' }))
}

/**
 * Reads the values at the start of the load, as from a database, and returns them at its end.
 * @param {string[]} keys @param {LoadPlan} plan @param {any} context
 */
async function runLoad(keys, { ms, fails, lateTags = [] }, context) {
  const load = ++loads
  tell({ load, keys, startedAt: machineTime() })
  const values = await new Promise((resolve) => questions.set(load, resolve))
  await sleep(ms)
  tell({ load, endedAt: machineTime() })
  if (fails) throw new Error(`load failed in process ${process.pid}`)
  if (lateTags.length === 0) return values
  for (const key of keys) (context.of?.(key) ?? context).addTags(...lateTags)
  return values
}

/** @param {() => Promise<unknown>} call @returns {Promise<Outcome>} */
async function outcomeOf(call) {
  const start = stalls.runningMs
  try {
    const value = await call()
    return { value, ms: stalls.runningMs - start }
  } catch (error) {
    return { error: describe(error), ms: stalls.runningMs - start }
  }
}

/** @param {any} error */
function describe({ name, code, message, retryable }) {
  return { name, code, message, retryable }
}

/** @param {object} message */
function tell(message) {
  if (process.connected) process.send?.(message)
}
