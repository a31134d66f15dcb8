// One contestant in a process of its own: node benchmarks/child.mjs '{"group":"memory","contestant":"raw"}'
// Writes one JSON line per workload. Started by hand it can be profiled: node --cpu-prof benchmarks/child.mjs …
import { loadGroup } from './lib/groups.mjs'
import { measure } from './lib/measure.mjs'

const job = { quick: true, server: {}, windows: { warmUpMs: 300, timedMs: 1_000 } }
Object.assign(job, JSON.parse(process.argv[2]))

const group = await loadGroup(job.group)
const open = { ...group.contestants, ...group.peers }[job.contestant]
const subject = await open(job.server)
await group.prepare(subject)
// The busiest first: one call at a time is too slow for its code to be optimised within a warm-up.
for (const workload of group.workloads(job).toSorted((a, b) => b.inFlight - a.inFlight)) {
  if (job.only !== undefined && workload.name !== job.only) continue
  console.log(JSON.stringify(await resultOf(workload)))
}
await group.check(subject)
await subject.close()
// A timer some client leaves behind is no reason to wait.
process.exit(0)

async function resultOf(workload) {
  const { name, inFlight, valueBytes } = workload
  const operation = workload.bind(subject)
  if (operation === undefined) return { workload: name, inFlight, missing: true }
  const count = () => group.server?.countCommands(job.server)
  const figures = await measure(operation, workload, job.windows, count)
  return { workload: name, inFlight, valueBytes, ...figures }
}
