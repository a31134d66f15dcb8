import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { UserError } from '../../../scripts/lib/cli.mjs'
import { killOnExit } from './child-processes.mjs'

const defaultProgram = fileURLToPath(new URL('../../run-contestant.mjs', import.meta.url))
const startTimeoutMs = 60_000
const commandTimeoutMs = 10_000

/** A contestant in its own process, which fills the cache and then executes one command at a time. */
export class ContestantProcess {
  #child
  #title
  #stderr = ''

  /** `job`: the group, the contestant and the address of its server. `program` replies to commands. */
  constructor(job, program = defaultProgram) {
    this.contestant = job.contestant
    this.#title = `${job.group}: the contestant ${job.contestant}`
    const options = { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }
    this.#child = killOnExit(fork(program, [JSON.stringify(job)], options))
    this.#child.stderr.setEncoding('utf8').on('data', (chunk) => {
      this.#stderr += chunk
    })
  }

  get pid() {
    return this.#child.pid
  }

  /** Resolves to the first message of the program. */
  ready() {
    return this.#message(startTimeoutMs)
  }

  /** Resolves to the ids of the workloads that this contestant supports. */
  async started() {
    const { workloads } = await this.ready()
    return new Set(workloads)
  }

  warmUp(workload, ms) {
    return this.send({ command: 'warmUp', workload, ms })
  }

  measure(workload, ms) {
    return this.send({ command: 'measure', workload, ms })
  }

  percentiles(workload) {
    return this.send({ command: 'percentiles', workload })
  }

  /** Checks the stored values again, and closes the contestant. */
  finish() {
    return this.send({ command: 'finish' })
  }

  kill() {
    this.#child.kill('SIGKILL')
  }

  /** Sends a command and resolves to the reply. */
  send(message) {
    this.#child.send(message)
    const { command, workload = '', ms = 0 } = message
    return this.#message(commandTimeoutMs + 3 * ms, ` to ${command} ${workload}`)
  }

  #message(timeoutMs, request = '') {
    return new Promise((resolve, reject) => {
      const settle = (act) => (value) => {
        clearTimeout(timeout)
        this.#child.off('message', replied).off('close', closed).off('error', reject)
        act(value)
      }
      const fail = (what) => reject(new UserError(`${this.#title} ${what}.\n${this.#stderr}`))
      const replied = settle(resolve)
      const closed = settle((code) => fail(`exited with ${code ?? 'a signal'}`))
      const timeout = setTimeout(
        settle(() => fail(`did not reply${request} within ${timeoutMs / 1000} s`)),
        timeoutMs,
      )
      this.#child.once('message', replied).once('close', closed).once('error', reject)
    })
  }
}
