// Runs one contestant in this process. If a parent process has forked it, it executes the parent's commands. Otherwise it
// runs all workloads, or the one whose id is `only`, to record a profile:
// node --cpu-prof benchmarks/run-contestant.mjs '{"group":"memory","contestant":"stowage","only":"get 1024 B x1"}'
import { loadGroup } from './lib/groups.mjs'
import { Measurement } from './lib/measuring/measurement.mjs'

const job = { quick: true, address: {}, ms: 1_000, ...JSON.parse(process.argv[2]) }
const group = await loadGroup(job.group)
const openContestant = { ...group.contestants, ...group.peers }[job.contestant]
const contestant = await openContestant(job.address)
await group.prepare(contestant)
const measurements = new Map(group.workloads({ quick: job.quick }).flatMap(measurementEntry))

const commands = {
  warmUp: ({ workload, ms }) => measurements.get(workload).warmUp(ms),
  measure: ({ workload, ms }) => measurements.get(workload).measure(ms),
  percentiles: ({ workload }) => measurements.get(workload).percentiles(),
  async finish() {
    await group.check(contestant)
    await contestant.close()
  },
}

if (process.send === undefined) await runAlone()
else serve()

/** `[[id, measurement]]`, or an empty array if the contestant does not support the workload. */
function measurementEntry(workload) {
  const operation = workload.createOperation(contestant)
  if (operation === undefined) return []
  // A call in memory takes about as long as reading the clock.
  const recordLatencies = group.server !== undefined
  return [[workload.id, new Measurement(operation, workload, recordLatencies)]]
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
    const figures = await measurement.measure(job.ms)
    console.log(id, { ...figures, ...measurement.percentiles() })
  }
  await commands.finish()
  process.exit(0)
}
