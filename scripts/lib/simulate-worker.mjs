// Runs a range of seeds on a thread of its own.
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { scenarios } from '@stowage/scenarios'
import { planOf, report, runPlan, simulateSeed } from '@stowage/testing/simulation'
import { replayOf } from './replay-command.mjs'

const reportEvery = 50
const { name, settings, seed, seeds, digest } = workerData
const scenario = scenarios[name]
const hash = createHash('sha256')
let failure

for (let done = 0; done < seeds && failure === undefined; done++) {
  if (digest) {
    const { trace } = await runPlan(scenario, planOf(scenario, seed + done, settings), {
      isTraced: true,
    })
    hash.update(String(trace))
  } else {
    failure = await simulateSeed(scenario, seed + done, settings)
  }
  if ((done + 1) % reportEvery === 0 || done + 1 === seeds) {
    parentPort.postMessage({ done: (done + 1) % reportEvery || reportEvery })
    await nextTurn()
  }
}
parentPort.postMessage({
  report: failure === undefined ? undefined : report(failure, replayOf(failure)),
  digest: hash.digest('hex').slice(0, 16),
})
