import { runContestant } from './contestant-process.mjs'

const roundCount = 5

/** Every contestant once per round, each in a process of its own, so that what disturbs one disturbs all. */
export async function runGroup(group, { quick, peers }) {
  const names = Object.keys({ ...group.contestants, ...(peers && group.peers) })
  const server = await group.server?.start()
  const job = { group: group.name, quick, windows: windowsOf(quick), server: server?.address ?? {} }
  try {
    const rounds = []
    for (let round = 0; round < roundCount; round++) {
      progress(`${group.name}: round ${round + 1} of ${roundCount}`)
      rounds.push(await runRound(orderOf(names, round), group, job, server))
    }
    return { rounds: rounds.map(({ results }) => results), gaps: rounds[0].gaps }
  } finally {
    await server?.stop()
  }
}

async function runRound(names, group, job, server) {
  const results = []
  const gaps = []
  for (const contestant of names) {
    await server?.reset()
    for (const result of await runContestant({ ...job, contestant }, group.workloads(job))) {
      if (result.missing) gaps.push(`${contestant} has no ${result.workload}: left out`)
      else results.push({ contestant, ...result })
    }
  }
  return { results, gaps: [...new Set(gaps)].sort() }
}

/** Each round begins elsewhere, and every other one runs backwards: nobody always follows the same one. */
export function orderOf(names, round) {
  const first = Math.floor(round / 2) % names.length
  const order = [...names.slice(first), ...names.slice(0, first)]
  return round % 2 === 0 ? order : order.reverse()
}

function windowsOf(quick) {
  return quick ? { warmUpMs: 80, timedMs: 180 } : { warmUpMs: 300, timedMs: 500 }
}

function progress(text) {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text} ` : `${text}\n`)
}
