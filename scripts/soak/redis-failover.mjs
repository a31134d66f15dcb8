import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { command } from '@stowage/test-servers'
import { Remedy } from '../lib/progress.mjs'
import { Load, now } from './redis-failover/load.mjs'
import { listen } from './redis-failover/monitor.mjs'
import { report } from './redis-failover/report.mjs'
import { scenarios } from './redis-failover/scenarios.mjs'

const timeoutMs = 200
const connectTimeoutMs = 200
/** A call may have to wait for a connection, and then for its answer. */
const deadlineMs = timeoutMs
const limits = { deadlineMs, toleranceMs: 100, recoveryWithinMs: 300 }
const patienceMs = 60_000
const attempts = 3

/** @typedef {{ beforeMs?: number, afterMs?: number }} Duration of the load around the loss */

/**
 * Loses the primary under load, and reports what the callers were told and what the servers carried out.
 * @param {string} name @param {Duration} [duration]
 */
export async function run(name, duration) {
  for (let time = 0; time < attempts; time++) {
    const seen = await attempt(name, duration)
    if (seen !== undefined) return seen
  }
  throw new Error(`${name}: the Sentinels replaced the new primary, too, ${attempts} times`)
}

/**
 * @param {string} name @param {Duration} [duration]
 * @returns {Promise<ReturnType<typeof report> | undefined>} nothing where a Sentinel that had not heard of the new
 *   primary has promoted another one: what that loses is not the store's
 */
async function attempt(name, { beforeMs = 1_000, afterMs = 2_000 } = {}) {
  const scene = await scenarios[name]()
  const servers = [scene.servers.primary, ...scene.servers.replicas]
  const ports = servers.map(({ port }) => port)
  const store = redis({ ...scene.options, timeout: timeoutMs, connectTimeout: connectTimeoutMs })
  /** @type {import('./monitor.mjs').Execution[]} */
  const executions = []
  const unlisten = await Promise.all(
    ports.map((port) => listen(port, ports, (execution) => executions.push(execution))),
  )
  const delay = monitorEventLoopDelay({ resolution: 5 })
  try {
    await store.ping()
    delay.enable()
    const load = new Load(store)
    await pause(beforeMs)
    const lost = now()
    const known = await scene.replace()
    await recovered(load, known.at)
    await pause(afterMs)
    await load.stop(10 * deadlineMs)
    delay.disable()
    if ((await scene.primary()) !== known.port) return undefined
    if (scene.held) await wake(scene.servers.primary)
    const seen = { name, load, executions, known, lost, old: ports[0], held: scene.held }
    const left = await leftOn(known.port, load)
    return report({ ...seen, ...left, busyMs: delay.max / 1e6 }, limits)
  } finally {
    for (const end of unlisten) end()
    // It waits for calls under way, and some may hang.
    await Promise.race([store.close(), pause(10 * deadlineMs, undefined, { ref: false })])
    await scene.stop()
  }
}

/** Waits for a write that began after the new primary was known. @param {Load} load @param {number} since */
async function recovered(load, since) {
  const end = now() + patienceMs
  const isNewWrite = (
    /** @type {import('./redis-failover/load.mjs').Call} */ { kind, outcome, began },
  ) => kind === 'set' && outcome === 'ok' && began > since
  while (!load.calls.some(isNewWrite) && now() < end) await pause(10)
}

/** A server that was frozen carries out what it had received. @param {import('@stowage/test-servers').RedisServer} server */
async function wake(server) {
  server.kill('SIGCONT')
  await command(server.port, 'PING')
  await pause(500)
}

/** What the primary has in the end. @param {number} port @param {Load} load */
async function leftOn(port, load) {
  const sets = load.calls.filter(({ kind }) => kind === 'set').map(({ n }) => `w:${n}`)
  const values = /** @type {unknown[]} */ (await command(port, 'MGET', ...sets))
  const present = new Set(sets.filter((_, at) => values[at] !== null))
  return { present, counter: Number(await command(port, 'GET', 'counter')) }
}

/** Runs the scenarios named, or all, and prints what was seen. @param {string[]} names @returns {Promise<number>} exit code */
export async function soak(names) {
  const unknown = names.filter((name) => !(name in scenarios))
  if (unknown.length > 0)
    throw new Remedy(`No scenario ${unknown}. There are: ${Object.keys(scenarios).join(', ')}.`)
  let wrong = 0
  for (const name of names.length > 0 ? names : Object.keys(scenarios)) {
    const seen = await run(name)
    print(seen)
    wrong += seen.wrong.length
  }
  return wrong === 0 ? 0 : 1
}

/** @param {ReturnType<typeof report>} seen */
function print({ name, codes, wrong, ...numbers }) {
  const row = Object.entries({ ...numbers, ...codes })
  const cells = row.map(([label, value]) => `${label} ${Math.round(value)}`)
  process.stdout.write(`${wrong.length === 0 ? '✓' : '✗'} ${name}: ${cells.join(', ')}\n`)
  for (const each of wrong) process.stdout.write(`    ${each}\n`)
}
