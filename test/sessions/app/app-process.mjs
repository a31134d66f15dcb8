import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('process.mjs', import.meta.url))

/**
 * @typedef {object} Reply
 * @property {Record<string, any> | null} read the session as the request has read it
 * @property {Record<string, any> | null} data the session at the end of the request
 * @property {string} [error]
 */

/** An application in a process of its own. */
export class AppProcess {
  #child
  #port = 0
  /** @type {Map<string, () => void>} */
  #waiting = new Map()
  /** @type {Set<string>} */
  #held = new Set()

  /** @param {import('../../remember/processes/backends.mjs').Backend} backend */
  static async start({ driver, options, env }) {
    const child = fork(program, [JSON.stringify({ driver, options })], {
      env: { ...process.env, ...env },
      execArgv: [],
    })
    const app = new AppProcess(child)
    const [{ port }] = await once(child, 'message')
    app.#port = port
    child.on('message', (message) => app.#receive(message))
    return app
  }

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.#child = child
  }

  /**
   * Makes a request. Resolves to the reply and the cookie that the client has then.
   * @param {string} name of the application @param {string} cookie
   * @param {readonly import('./app.mjs').Step[]} steps
   */
  async request(name, cookie, steps) {
    const response = await fetch(`http://127.0.0.1:${this.#port}/${name}`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json' },
      body: JSON.stringify(steps),
    })
    const reply = /** @type {Reply} */ (await response.json())
    if (reply.error !== undefined) throw new Error(reply.error)
    const set = response.headers.get('set-cookie')?.split(';')[0]
    return { ...reply, cookie: set ?? cookie }
  }

  /** Resolves when a request is held. @param {string} token @returns {Promise<void>} */
  async held(token) {
    if (this.#held.has(token)) return
    await new Promise((/** @type {(value: void) => void} */ resolve) =>
      this.#waiting.set(token, resolve),
    )
  }

  /** @param {string} token */
  release(token) {
    this.#child.send({ release: token })
  }

  async stop() {
    this.#child.kill('SIGKILL')
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await once(this.#child, 'exit')
  }

  /** @param {any} message */
  #receive({ held }) {
    this.#held.add(held)
    this.#waiting.get(held)?.()
  }
}
