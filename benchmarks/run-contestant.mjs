// Runs one contestant in this process. With a parent process it executes the parent's commands; without one it runs one
// or all workloads, for a profile: node --cpu-prof benchmarks/run-contestant.mjs '{"group":"memory","contestant":"stowage"}'
import { loadGroup } from './lib/groups.mjs'
import { Measurement } from './lib/measuring/measurement.mjs'

const job = { quick: true, address: {}, ms: 1_000, ...JSON.parse(process.argv[2]) }
const group = await loadGroup(job.group)
const open = { ...group.contestants, ...group.peers }[job.contestant]
const contestant = await open(job.address)
await group.prepare(contestant)
const measurements = new Map(group.workloads(job).flatMap(measurementOf))

const commands = {
  warmUp: ({ workload, ms }) => measurements.get(workload).warmUp(ms),
  time: ({ workload, ms }) => measurements.get(workload).time(ms),
  percentiles: ({ workload }) => measurements.get(workload).percentiles(),
  async finish() {
    await group.check(contestant)
    await contestant.close()
  },
}

if (process.send === undefined) await runAlone()
else serve()

/** An id and a measurement, or nothing if the contestant does not support the workload. */
function measurementOf(workload) {
  const operation = workload.createOperation(contestant)
  if (operation === undefined) return []
  // In memory, reading the clock takes about as long as a call.
  const timesCalls = group.server !== undefined
  return [[workload.id, new Measurement(operation, workload, timesCalls)]]
}

function serve() {
  process.on('message', async (message) =>
    process.send((await commands[message.command](message)) ?? {}),
  )
  // Exits even if the client still has open handles.
  process.once('disconnect', () => process.exit(0))
  process.send({ workloads: [...measurements.keys()] })
}

async function runAlone() {
  for (const [id, measurement] of measurements) {
    if (job.only !== undefined && job.only !== id) continue
    await measurement.warmUp(job.ms)
    const figures = await measurement.time(job.ms)
    console.log(id, { ...figures, ...measurement.percentiles() })
  }
  await commands.finish()
  process.exit(0)
}
