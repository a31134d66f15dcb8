import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { command } from '@stowage/test-servers'
import { UserError } from '../lib/cli.mjs'
import { Load, now } from './redis-failover/load.mjs'
import { monitor } from './redis-failover/monitor.mjs'
import { report } from './redis-failover/report.mjs'
import { scenarios } from './redis-failover/scenarios.mjs'

const timeoutMs = 200
const connectTimeoutMs = 200
/** `timeout` limits a whole call, including the time that it waits for a connection. */
const deadlineMs = timeoutMs
const limits = { deadlineMs, toleranceMs: 100, maxRecoveryMs: 300 }
const recoveryTimeoutMs = 60_000
const stopTimeoutMs = 10 * deadlineMs
const attempts = 3
// How long the load runs before and after the failover.
const beforeMs = 1_000
const afterMs = 2_000

/** @typedef {import('./redis-failover/load.mjs').Call} Call */
/** @typedef {import('./redis-failover/scenarios.mjs').Setup} Setup */
/** @typedef {ReturnType<typeof report>} Report */

/**
 * Runs the given scenarios, or all, and prints a report of each.
 * @param {string[]} names
 * @returns {Promise<number>} exit code
 */
export async function soak(names) {
  const unknown = names.filter((name) => !(name in scenarios))
  if (unknown.length > 0) {
    const known = Object.keys(scenarios).join(', ')
    throw new UserError(`Unknown scenario ${unknown.join(', ')}. Use one of: ${known}.`)
  }
  let failed = 0
  for (const name of names.length > 0 ? names : Object.keys(scenarios)) {
    const result = await run(name)
    print(result)
    if (result.violations.length > 0) failed++
  }
  return failed === 0 ? 0 : 1
}

/**
 * Replaces the primary under load, and compares the results of the calls with what the servers executed.
 * @param {string} name
 * @returns {Promise<Report>}
 */
async function run(name) {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const result = await runOnce(name)
    if (result !== undefined) return result
  }
  throw new Error(`${name}: the Sentinels replaced the new primary as well, ${attempts} times`)
}

/**
 * @param {string} name
 * @returns {Promise<Report | undefined>} `undefined` if the Sentinels promoted another server after the new primary: a
 *   Sentinel may do so that has not received the result of the first election. The writes lost then are not the store's.
 */
async function runOnce(name) {
  const setup = await scenarios[name]()
  const { primary, replicas } = setup.servers
  const ports = [primary, ...replicas].map(({ port }) => port)
  const store = redis({ ...setup.options, timeout: timeoutMs, connectTimeout: connectTimeoutMs })
  /** @type {import('./redis-failover/monitor.mjs').Execution[]} */
  const executions = []
  const stopMonitors = await Promise.all(
    ports.map((port) => monitor(port, ports, (execution) => executions.push(execution))),
  )
  try {
    const observed = await failOverUnderLoad(setup, store)
    const { load, newPrimary } = observed
    if ((await setup.currentPrimary()) !== newPrimary.port) return undefined
    if (setup.frozen) await resume(primary)
    const final = await finalData(newPrimary.port, load)
    const old = { oldPort: primary.port, frozen: setup.frozen }
    return report({ name, executions, ...observed, ...old, ...final }, limits)
  } finally {
    for (const stop of stopMonitors) stop()
    // close() waits for the calls in flight, which may hang.
    await Promise.race([store.close(), pause(stopTimeoutMs, undefined, { ref: false })])
    await setup.stop()
  }
}

/** @param {Setup} setup @param {import('@stowage/core/driver').ByteStore} store */
async function failOverUnderLoad(setup, store) {
  await store.ping()
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const load = new Load(store)
  try {
    await pause(beforeMs)
    const failedAt = now()
    const newPrimary = await setup.failover()
    await recovery(load, newPrimary.knownAt)
    await pause(afterMs)
    await load.stop(stopTimeoutMs)
    return { load, failedAt, newPrimary, eventLoopDelayMs: delay.max / 1e6 }
  } finally {
    await load.stop(stopTimeoutMs)
    delay.disable()
  }
}

/** Waits for the success of a write that started after the new primary was known. @param {Load} load @param {number} knownAt */
async function recovery(load, knownAt) {
  const deadline = now() + recoveryTimeoutMs
  const isNewWrite = (/** @type {Call} */ { kind, outcome, startedAt }) =>
    kind === 'set' && outcome === 'ok' && startedAt > knownAt
  while (!load.calls.some(isNewWrite) && now() < deadline) await pause(10)
}

/** Resumes a frozen server, which then executes the commands that it has received. @param {import('@stowage/test-servers').RedisServer} server */
async function resume(server) {
  server.kill('SIGCONT')
  await command(server.port, 'PING')
  await pause(500)
}

/** The data of the new primary at the end. @param {number} port @param {Load} load */
async function finalData(port, load) {
  const keys = load.calls.filter(({ kind }) => kind === 'set').map(({ n }) => `w:${n}`)
  const values = /** @type {unknown[]} */ (await command(port, 'MGET', ...keys))
  const existingKeys = new Set(keys.filter((_, index) => values[index] !== null))
  return { existingKeys, counter: Number(await command(port, 'GET', 'counter')) }
}

/** @param {Report} result */
function print({ name, errorCodes, violations, ...numbers }) {
  const cells = Object.entries({ ...numbers, ...errorCodes }).map(
    ([label, value]) => `${label} ${Math.round(value)}`,
  )
  process.stdout.write(`${violations.length === 0 ? '✓' : '✗'} ${name}: ${cells.join(', ')}\n`)
  for (const violation of violations) process.stdout.write(`    ${violation}\n`)
}
