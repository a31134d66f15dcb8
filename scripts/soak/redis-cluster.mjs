import { setTimeout as pause } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { startCluster } from '@stowage/test-servers'
import { Results, Worker } from './redis-cluster/load.mjs'
import { SlotMover } from './redis-cluster/slots.mjs'

const timeoutMs = 1_000
/** A call may end an eighth later, and this machine may be busy. `clear` consists of several calls. */
const toleranceMs = 750
const primaries = 3
const workersPerStore = 8
const recoveryMs = 2_000

/**
 * Moves slots between the masters of a cluster under load, and checks every value that is read.
 * @param {string[]} args how many seconds to run, by default 30
 * @returns {Promise<number>} exit code
 */
export async function soak([seconds = '30']) {
  const cluster = await startCluster({ primaries, replicasPerPrimary: 1 })
  const ports = cluster.nodes.map(({ port }) => port)
  const clusterNodes = ports.map((port) => `127.0.0.1:${port}`)
  const readFroms = /** @type {const} */ (['primary', 'replicaPreferred'])
  const stores = readFroms.map((readFrom) => redis({ clusterNodes, readFrom, timeout: timeoutMs }))
  const results = new Results()
  const mover = new SlotMover(ports.slice(0, primaries))
  try {
    const prefixes = Array.from({ length: stores.length * workersPerStore }, (_, n) => `{w${n}}:`)
    const workers = prefixes.map((prefix, n) => {
      return new Worker(stores[n % stores.length], prefix, results)
    })
    await runUnderLoad(workers, prefixes, mover, Number(seconds) * 1_000)
    const recovered = await readAllEventually(workers)
    return report(results, mover.moved, recovered)
  } finally {
    await Promise.all(stores.map((store) => store.close()))
    await cluster.stop()
  }
}

/** @param {Worker[]} workers @param {string[]} prefixes @param {SlotMover} mover @param {number} ms */
async function runUnderLoad(workers, prefixes, mover, ms) {
  const end = performance.now() + ms
  const isRunning = () => performance.now() < end
  const load = Promise.all(workers.map((worker) => worker.run(isRunning)))
  for (let n = 0; isRunning(); n++) {
    await mover.move(prefixes[n % prefixes.length])
    await pause(20)
  }
  await load
}

/** Whether every worker can read all its keys soon after the last move. @param {Worker[]} workers */
async function readAllEventually(workers) {
  const end = performance.now() + recoveryMs
  while (performance.now() < end) {
    const outcomes = await Promise.all(workers.map((worker) => worker.readAll()))
    if (outcomes.every(Boolean)) return true
  }
  return false
}

/** @param {Results} results @param {number} moved @param {boolean} recovered */
function report({ calls, slowestMs, failures, wrongValues, otherErrors }, moved, recovered) {
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0)
  const maxMs = timeoutMs + toleranceMs
  /** @type {[boolean, string][]} */
  const rules = [
    [wrongValues.length > 0, `${wrongValues.length} wrong values: ${wrongValues.slice(0, 3)}`],
    [
      otherErrors.length > 0,
      `${otherErrors.length} errors are not a CacheError: ${otherErrors[0]}`,
    ],
    [failed > 0, `${failed} calls failed`],
    [slowestMs > maxMs, `a call took ${slowestMs.toFixed()} ms, more than ${maxMs} ms`],
    [!recovered, `not recovered within ${recoveryMs} ms`],
    [moved === 0, 'no slot was moved'],
  ]
  const violations = rules.flatMap(([violated, message]) => (violated ? [message] : []))
  const summary = `calls ${calls}, moved slots ${moved}, failed ${failed}, slowest ${slowestMs.toFixed()} ms`
  process.stdout.write(`${violations.length === 0 ? '✓' : '✗'} redis-cluster: ${summary}\n`)
  for (const violation of violations) process.stdout.write(`    ${violation}\n`)
  for (const [failure, count] of failures) process.stdout.write(`    ${count}× ${failure}\n`)
  return violations.length === 0 ? 0 : 1
}
