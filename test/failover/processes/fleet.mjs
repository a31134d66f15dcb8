import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('worker.mjs', import.meta.url))
/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** @typedef {import('./call-log.mjs').Log} Log */

/** Processes that make calls on failover stores of their own. */
export class Fleet {
  /** @type {FleetProcess[]} */
  processes

  /** @param {number} count @param {object} job @param {Record<string, string>} [env] */
  static async start(count, job, env = {}) {
    const processes = Array.from(
      { length: count },
      (_, id) => new FleetProcess({ ...job, id, processes: count }, env),
    )
    await Promise.all(processes.map((each) => each.ready))
    return new Fleet(processes)
  }

  /** @param {FleetProcess[]} processes */
  constructor(processes) {
    this.processes = processes
  }

  /** @param {string} command @returns {Promise<any[]>} */
  all(command) {
    return Promise.all(this.processes.map((each) => each.request(command)))
  }

  stop() {
    for (const each of this.processes) each.kill()
  }
}

class FleetProcess {
  #child
  #requests = 0
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #pending = new Map()
  /** @type {Promise<void>} */
  ready

  /** @param {object} job @param {Record<string, string>} env */
  constructor(job, env) {
    this.#child = fork(program, [JSON.stringify(job)], {
      env: { ...process.env, ...env },
      execArgv: [],
      serialization: 'advanced',
    })
    running.add(this.#child)
    this.ready = this.#replyTo(0)
    this.#child.on('message', (/** @type {any} */ { request, value }) => {
      this.#pending.get(request)?.resolve(value)
      this.#pending.delete(request)
    })
    this.#child.on('exit', (code, signal) => {
      const error = new Error(`A process of the test has ended: ${code ?? signal}.`)
      for (const { reject } of this.#pending.values()) reject(error)
    })
  }

  /** @param {string} command @returns {Promise<any>} */
  request(command) {
    const request = ++this.#requests
    const reply = this.#replyTo(request)
    this.#child.send({ request, command }, () => {})
    return reply
  }

  kill() {
    this.#child.kill('SIGKILL')
    running.delete(this.#child)
  }

  /** @param {number} request @returns {Promise<any>} */
  #replyTo(request) {
    return new Promise((resolve, reject) => this.#pending.set(request, { resolve, reject }))
  }
}
