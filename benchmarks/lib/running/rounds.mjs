import { ContestantProcess } from './contestant-process.mjs'
import { pinClient, pinServer } from './cpus.mjs'

/** Runs the rounds of a group. In each round every contestant gets a new process; the processes take short turns. */
export async function runGroup(group, { quick, peers }) {
  const names = Object.keys({ ...group.contestants, ...(peers && group.peers) })
  const schedule = scheduleOf(quick, group)
  const server = await group.server?.start(names)
  for (const pid of server?.pids ?? []) pinServer(pid)
  try {
    const rounds = []
    for (let round = 0; round < schedule.rounds; round++) {
      progress(`${group.name}: round ${round + 1} of ${schedule.rounds}`)
      rounds.push(await runRound({ group, names, quick, schedule, server, round }))
    }
    return rounds
  } finally {
    await server?.stop()
  }
}

async function runRound({ group, names, quick, schedule, server, round }) {
  await server?.reset()
  const processes = names.map((contestant) => {
    const address = server?.addressOf(contestant) ?? {}
    return new ContestantProcess({ group: group.name, quick, contestant, address })
  })
  try {
    const supported = await Promise.all(processes.map((each) => each.started()))
    const workloads = group.workloads({ quick })
    const runs = workloads.map((workload) => ({
      workload,
      processes: processes.filter((_, i) => supported[i].has(workload.id)),
    }))
    // Each workload may deoptimise code that another uses. All run once before the first is timed.
    for (const run of runs) await warmUp(run, schedule.warmUpMs)
    const results = []
    for (const run of runs) results.push(...(await takeTurns(run, schedule, round, server)))
    for (const each of processes) await each.finish()
    return results
  } finally {
    for (const each of processes) each.kill()
  }
}

function warmUp({ workload, processes }, ms) {
  return Promise.all(processes.map((each) => each.warmUp(workload.id, ms)))
}

/** Turns are short and change their order, so that a disturbance affects all contestants alike. */
async function takeTurns({ workload, processes }, schedule, round, server) {
  const commandsPerOp = new Map()
  // With one call in flight, it takes longer until the code has run often enough to be optimised.
  const warmUpMs = workload.inFlight === 1 ? schedule.longWarmUpMs : schedule.warmUpMs
  for (const each of processes) {
    if (server !== undefined) pinClient(each.pid, workload)
    commandsPerOp.set(each, await warmUpCounting(each, workload, warmUpMs, server))
  }
  const turns = new Map(processes.map((each) => [each, []]))
  for (let turn = 0; turn < schedule.turns; turn++) {
    for (const each of turnOrder(processes, round + turn)) {
      turns.get(each).push(await each.measure(workload.id, schedule.turnMs))
    }
  }
  const results = processes.map(async (each) => ({
    workload: workload.id,
    contestant: each.contestant,
    commandsPerOp: commandsPerOp.get(each),
    turns: turns.get(each),
    ...(await each.percentiles(workload.id)),
  }))
  return Promise.all(results)
}

/** Resolves to the commands that the server executes per operation, or to `null` if it does not count them. */
async function warmUpCounting(process, { id }, ms, server) {
  const before = await server?.countCommands?.()
  const { operations } = await process.warmUp(id, ms)
  if (before === undefined) return null
  return ((await server.countCommands()) - before) / operations
}

/** Each pair of turns starts with another contestant, and every second turn is reversed: predecessors vary. */
function turnOrder(processes, turn) {
  const first = Math.floor(turn / 2) % processes.length
  const order = [...processes.slice(first), ...processes.slice(0, first)]
  return turn % 2 === 0 ? order : order.reverse()
}

function scheduleOf(quick, { durationFactor = 1, warmUpMs }) {
  const [rounds, turns, shortWarmUpMs, turnMs] = quick ? [3, 4, 100, 30] : [5, 6, 300, 60]
  const schedule = { rounds, turns, turnMs: turnMs * durationFactor }
  if (!quick && warmUpMs !== undefined) return { ...schedule, warmUpMs, longWarmUpMs: warmUpMs }
  const short = shortWarmUpMs * durationFactor
  return { ...schedule, warmUpMs: short, longWarmUpMs: 3 * short }
}

/** Prints what is measured now. A terminal shows only the last text. */
export function progress(text) {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text} ` : `${text}\n`)
}
