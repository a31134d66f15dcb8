// One of the processes of a contestant. Its argument is JSON, like that of run-contestant.mjs. It makes the calls that
// its parent asks for, measures them, and counts the loads.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadGroup } from '../groups.mjs'
import { users } from '../workloads/dataset.mjs'
import { plainKey } from './stampede-contestant.mjs'

const job = JSON.parse(process.argv[2])
const group = await loadGroup(job.group)
const contestant = await { ...group.contestants, ...group.peers }[job.contestant](job.address)
const [value] = users.values
let loads = 0
await contestant.set?.(plainKey, value)

const commands = {
  /** Makes concurrent calls for one key. Resolves to their durations in milliseconds. */
  async call({ method, key, calls, loadMs }) {
    loads = 0
    const load = async () => {
      loads++
      await sleep(loadMs)
      return value
    }
    const results = await Promise.all(
      Array.from({ length: calls }, async () => {
        const start = performance.now()
        const result = await contestant[method](key, load)
        return { result, ms: performance.now() - start }
      }),
    )
    for (const { result } of results) assert.deepEqual(result, value)
    return { durations: results.map(({ ms }) => ms) }
  },
  /** The loads since the last `call`, also those in the background. */
  countLoads: () => ({ loads }),
  finish: () => contestant.close(),
}

process.on('message', async (message) =>
  process.send((await commands[message.command](message)) ?? {}),
)
// Exits even if the client still has open handles.
process.once('disconnect', () => process.exit(0))
process.send({ methods: ['remember', 'rememberStale', 'get'].filter((name) => contestant[name]) })
