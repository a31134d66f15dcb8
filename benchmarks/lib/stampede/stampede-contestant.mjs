import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ContestantProcess } from '../running/contestant-process.mjs'

const program = fileURLToPath(new URL('stampede-program.mjs', import.meta.url))

/** The key of a value that never becomes stale. */
export const plainKey = 'plain'

/** A contestant in several processes, which share one database. */
export class StampedeContestant {
  #processes
  #countCommands

  /** `job` as for `ContestantProcess`. `countCommands` resolves to the commands that the server has executed. */
  constructor(job, { processes, countCommands }) {
    this.name = job.contestant
    this.#processes = Array.from({ length: processes }, () => new ContestantProcess(job, program))
    this.#countCommands = countCommands
  }

  /** Resolves to the names of the methods that this contestant supports. */
  async started() {
    const [{ methods }] = await Promise.all(this.#processes.map((each) => each.ready()))
    return methods
  }

  /** Makes `calls` calls in each process at the same time. Resolves to figures over all processes. */
  async call({ loadMs, ...request }) {
    const before = await this.#countCommands()
    const replies = await this.#sendAll({ command: 'call', loadMs, ...request })
    // Loads in the background have begun, but have not ended.
    await sleep(2 * loadMs)
    const counts = await this.#sendAll({ command: 'countLoads' })
    const durations = replies.flatMap((reply) => reply.durations).sort((a, b) => a - b)
    const quantile = (share) => durations[Math.ceil(share * durations.length) - 1]
    return {
      loads: counts.reduce((sum, { loads }) => sum + loads, 0),
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
      maxMs: quantile(1),
      commands: (await this.#countCommands()) - before,
    }
  }

  finish() {
    return this.#sendAll({ command: 'finish' })
  }

  kill() {
    for (const each of this.#processes) each.kill()
  }

  #sendAll(message) {
    return Promise.all(this.#processes.map((each) => each.send(message)))
  }
}
