import { backends } from './backends.mjs'
import { Origin } from './origin.mjs'
import { WorkerProcess } from './worker-process.mjs'

/** The servers of a backend, and processes that share it. */
export class Fleet {
  origin = new Origin()
  backend
  /** @type {WorkerProcess[]} the processes that all tests share */
  #shared = []
  /** @type {Set<WorkerProcess>} */
  #all = new Set()

  /** @param {string} name one of `backends` */
  static async start(name) {
    const start = backends[name]
    if (start === undefined) throw new TypeError(`Unknown backend: ${name}`)
    return new Fleet(await start())
  }

  /** @param {import('./backends.mjs').Backend} backend */
  constructor(backend) {
    this.backend = backend
  }

  /** As many shared processes, started on first use. @param {number} count */
  async processes(count) {
    const missing = Math.max(0, count - this.#shared.length)
    this.#shared.push(...(await Promise.all(Array.from({ length: missing }, () => this.spawn()))))
    return this.#shared.slice(0, count)
  }

  /** A further process, which a test may kill. @param {{ clockShiftMs?: number }} [options] */
  async spawn(options) {
    const worker = new WorkerProcess(this.backend, this.origin, options)
    this.#all.add(worker)
    return worker.ready()
  }

  /** Ends all processes, then the servers. */
  async stop() {
    await Promise.all([...this.#all].map((worker) => worker.stop()))
    await this.backend.stop()
  }
}
