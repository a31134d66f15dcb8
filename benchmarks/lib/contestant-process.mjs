import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { UserError } from '../../scripts/lib/cli.mjs'
import { endsWithUs } from './cleanup.mjs'

const program = fileURLToPath(new URL('../child.mjs', import.meta.url))
const startUpMs = 60_000
const stepMs = 10_000

/** A contestant in a process of its own, filled and ready; it does one thing at a time, when it is asked to. */
export class ContestantProcess {
  #child
  #title
  #errors = ''

  /** `job`: the group, the contestant and the server's address. */
  constructor(job) {
    this.contestant = job.contestant
    this.#title = `${job.group}: the contestant ${job.contestant}`
    const options = { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }
    this.#child = endsWithUs(fork(program, [JSON.stringify(job)], options))
    this.#child.stderr.setEncoding('utf8').on('data', (chunk) => {
      this.#errors += chunk
    })
  }

  get pid() {
    return this.#child.pid
  }

  /** Resolves to the ids of the workloads this contestant can run. */
  async started() {
    const { workloads } = await this.#message(startUpMs)
    return new Set(workloads)
  }

  warmUp(workload, ms) {
    return this.#ask({ do: 'warmUp', workload, ms })
  }

  time(workload, ms) {
    return this.#ask({ do: 'time', workload, ms })
  }

  percentiles(workload) {
    return this.#ask({ do: 'percentiles', workload })
  }

  /** Checks what is stored, once more. */
  end() {
    return this.#ask({ do: 'end' })
  }

  kill() {
    this.#child.kill('SIGKILL')
  }

  #ask(step) {
    this.#child.send(step)
    return this.#message(stepMs + 3 * (step.ms ?? 0), ` to ${step.do} ${step.workload ?? ''}`)
  }

  #message(boundMs, asked = '') {
    return new Promise((resolve, reject) => {
      const settle = (act) => (value) => {
        clearTimeout(bound)
        this.#child.off('message', answered).off('close', ended).off('error', reject)
        act(value)
      }
      const fail = (what) => reject(new UserError(`${this.#title} ${what}.\n${this.#errors}`))
      const answered = settle(resolve)
      const ended = settle((code) => fail(`ended with ${code ?? 'a signal'}`))
      const bound = setTimeout(
        settle(() => fail(`gave no answer${asked} for ${boundMs / 1000} s`)),
        boundMs,
      )
      this.#child.once('message', answered).once('close', ended).once('error', reject)
    })
  }
}
