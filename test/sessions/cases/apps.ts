import { randomUUID } from 'node:crypto'
import { backends } from '../../remember/processes/backends.mjs'
import type { Step } from '../app/app.mjs'
import { AppProcess, type Reply } from '../app/app-process.mjs'

/** The cookie of a browser, with which it makes several requests at once. */
export interface Browser {
  cookie: string
}

/** A request that waits in its handler, after it has read the session. */
export interface HeldRequest {
  /** Lets the request go on, and resolves to its reply. */
  finish(): Promise<Reply>
  /** Ends the process that handles the request. */
  crash(): Promise<void>
}

/** Applications in several processes, on one backend. Requests go to one after the other. */
export class Apps {
  readonly backend: Awaited<ReturnType<(typeof backends)[string]>>
  readonly #processes: AppProcess[]
  #requests = 0

  private constructor(backend: Apps['backend'], processes: AppProcess[]) {
    this.backend = backend
    this.#processes = processes
  }

  static async start(name: string, processes: number): Promise<Apps> {
    const backend = await (backends[name] as NonNullable<(typeof backends)[string]>)()
    const starting = Array.from({ length: processes }, () => AppProcess.start(backend))
    return new Apps(backend, await Promise.all(starting))
  }

  /** Makes a request with the cookie of the browser, which receives a new one if there is one. */
  async request(app: string, browser: Browser, ...steps: Step[]): Promise<Reply> {
    const reply = await this.#next().request(app, browser.cookie, steps)
    browser.cookie = reply.cookie
    return reply
  }

  /** Makes a request that waits between `before` and `after`. */
  async hold(
    app: string,
    { cookie }: Browser,
    before: readonly Step[],
    after: readonly Step[],
  ): Promise<HeldRequest> {
    const process = this.#next()
    const token = randomUUID()
    const reply = process.request(app, cookie, [...before, ['hold', token], ...after])
    await Promise.race([process.held(token), reply])
    return {
      finish: () => {
        process.release(token)
        return reply
      },
      crash: async () => {
        reply.catch(() => {})
        await process.stop()
        this.#processes.splice(this.#processes.indexOf(process), 1)
      },
    }
  }

  async logIn(app: string): Promise<Browser> {
    const browser = { cookie: '' }
    await this.request(app, browser, ['set', 'user', 'ada'])
    return browser
  }

  /** The session of a browser as each process reads it. */
  async readAll(app: string, { cookie }: Browser): Promise<unknown[]> {
    const replies = this.#processes.map((process) => process.request(app, cookie, []))
    return (await Promise.all(replies)).map(({ read }) => read)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()))
    await this.backend.stop()
  }

  #next(): AppProcess {
    const { length } = this.#processes
    return this.#processes[this.#requests++ % length] as AppProcess
  }
}
