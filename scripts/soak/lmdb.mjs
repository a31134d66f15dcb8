// Random calls of several processes on one file, writers that are killed, and many writes into a small file:
// npm run soak -- lmdb [seconds] [kills] [GiB]
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fillFile, killRounds, randomCalls } from '../../packages/lmdb/test/processes/harness.mjs'

/** @param {string[]} args seconds of random calls, 60 by default; writers to kill, 200; GiB to write, 10 */
export async function soak([seconds = '60', kills = '200', gibibytes = '10']) {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-lmdb-soak-'))
  const problems = []
  try {
    const path = (name) => join(folder, name)
    console.log(`4 processes make random calls for ${seconds} s`)
    const random = await randomCalls({
      path: path('random'),
      processes: 4,
      ms: Number(seconds) * 1_000,
    })
    report(random, problems)
    console.log(`${kills} writers are killed`)
    report(await killRounds({ path: path('killed'), rounds: Number(kills) }), problems)
    console.log(`${gibibytes} GiB are written into a file of 64 MiB`)
    report(await fillFile({ path: path('full'), bytes: Number(gibibytes) * 2 ** 30 }), problems)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return problems.length === 0 ? 0 : 1
}

function report({ problems, ...figures }, allProblems) {
  console.log(figures)
  for (const problem of problems) console.error(problem)
  allProblems.push(...problems)
}
