// One contestant in a process of its own, which runs workloads as its parent asks for them. Started by hand it runs
// one, or all, and can be profiled: node --cpu-prof benchmarks/child.mjs '{"group":"memory","contestant":"stowage"}'
import { loadGroup } from './lib/groups.mjs'
import { Measurement } from './lib/measure.mjs'

const job = { quick: true, address: {}, ms: 1_000, ...JSON.parse(process.argv[2]) }
const group = await loadGroup(job.group)
const open = { ...group.contestants, ...group.peers }[job.contestant]
const subject = await open(job.address)
await group.prepare(subject)
const measurements = new Map(group.workloads(job).flatMap(measurementOf))

const steps = {
  warmUp: ({ workload, ms }) => measurements.get(workload).warmUp(ms),
  time: ({ workload, ms }) => measurements.get(workload).time(ms),
  percentiles: ({ workload }) => measurements.get(workload).percentiles(),
  async end() {
    await group.check(subject)
    await subject.close()
  },
}

if (process.send === undefined) await runAlone()
else serve()

/** What the contestant has no call for is left out. */
function measurementOf(workload) {
  const operation = workload.bind(subject)
  if (operation === undefined) return []
  // In memory a call takes about as long as to look at the clock.
  const timesCalls = group.server !== undefined
  return [[workload.id, new Measurement(operation, workload, timesCalls)]]
}

function serve() {
  process.on('message', async (step) => process.send((await steps[step.do](step)) ?? {}))
  // Whatever some client leaves behind is no reason to wait.
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
  await steps.end()
  process.exit(0)
}
