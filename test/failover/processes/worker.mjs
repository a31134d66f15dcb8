// A process with a failover store of its own, which makes calls at a constant rate and writes down what it reads and
// what was acknowledged. fork(worker.mjs, ['<job as JSON>']); 'start' begins, 'stop' ends and returns the log.
import { Cache, failover } from '@stowage/core'
import { Stalls } from '@stowage/test-servers'
import { machineTime } from '../../remember/processes/machine-time.mjs'
import { CallLog } from './call-log.mjs'
import { Workload } from './workload.mjs'

const job = JSON.parse(process.argv[2] ?? '{}')
const intervalMs = 10
/** Calls that are later than this because the machine is busy are left out, in seconds. */
const maxDelay = 1

/** @param {{ driver: string, options: object }} job */
async function createStore({ driver, options }) {
  const { default: imported } = await import(`@stowage/${driver}`)
  return imported.create(options)
}

const stores = [await createStore(job.primary), await createStore(job.fallback)]
const store = failover(/** @type {any} */ (stores), job.failoverOptions)
const cache = new Cache(store, { prefix: 'app:' })
const log = new CallLog()
const workload = new Workload(cache, job, log)
/** @type {NodeJS.Timeout | undefined} */
let timer
let made = 0
let startedAt = 0
/** @type {Stalls | undefined} */
let stalls

function tick() {
  const due = Math.floor(((machineTime() - startedAt) / 1_000) * job.perSecond)
  made = Math.max(made, due - job.perSecond * maxDelay)
  while (made < due) {
    made++
    workload.makeCall()
  }
}

/** @type {Record<string, () => unknown>} */
const commands = {
  async start() {
    // The first call stores the id of the generation, which a server that is starting may not do in time.
    while (
      !(await cache.get('warm-up').then(
        () => true,
        () => false,
      ))
    );
    startedAt = machineTime()
    stalls = new Stalls()
    timer = setInterval(tick, intervalMs)
  },
  async stop() {
    clearInterval(timer)
    while (log.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    const { maxMs = 0, stoppedMs = 0, runningMs = 0 } = stalls ?? {}
    return { ...log.toJSON(), stallMs: maxMs, stoppedMs, runningMs }
  },
  phase: () => log.phase,
}

process.on('message', async (/** @type {any} */ { request, command }) => {
  process.send?.({ request, value: await commands[command]?.() })
})
process.once('disconnect', () => process.exit(0))
await store.ping()
process.send?.({ request: 0 })
