import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cache, type CacheStore } from '@stowage/core'
import { Sessions, session } from '@stowage/sessions'
import express, { type ErrorRequestHandler, type Request } from 'express'

/** What a client knows of its session. */
interface Client {
  readonly cookie: string
  /** The value of the last write that was acknowledged. */
  acknowledged: number
  isWriting: boolean
}

interface Failure {
  readonly beganAt: number
  readonly endedAt: number
  readonly reason: string
}

const requestsPerSecond = 200
const deadlineMs = 15_000

/** An application with sessions, and clients that log in and write at a constant rate. */
export class Load {
  readonly clients: Client[] = []
  readonly failures: Failure[] = []
  readonly url: string
  readonly #stop: () => Promise<void>
  #isOver = false
  #requests: Promise<void>[] = []

  private constructor(url: string, stop: () => Promise<void>) {
    this.url = url
    this.#stop = stop
  }

  static async start(store: CacheStore): Promise<Load> {
    const cache = new Cache(store, { prefix: 'session:', ttl: '1h' })
    const app = express()
    app.use(session({ secret: 'test only', store: new Sessions({ cache }) }))
    const countOf = ({ session }: Request) => session as unknown as { n?: number }
    app.get('/write/:n', (request, response) => {
      countOf(request).n = Number(request.params.n)
      response.end()
    })
    app.get('/read', (request, response) => void response.end(`${countOf(request).n}`))
    app.get('/out', (request, response, next) => {
      request.session.destroy((error) => (error ? next(error) : response.end()))
    })
    const onError: ErrorRequestHandler = (error, _request, response, _next) => {
      response.status(503).end(String(error.code ?? error))
    }
    app.use(onError)
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const stop = async () => {
      server.closeAllConnections()
      server.close()
      await cache.close()
    }
    return new Load(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop)
  }

  /** Sends requests until `end`. */
  async run(): Promise<void> {
    const beganAt = performance.now()
    for (let sent = 0; !this.#isOver; sent++) {
      this.#requests.push(sent % 10 === 0 ? this.#logIn() : this.#write(sent))
      const due = beganAt + ((sent + 1) * 1_000) / requestsPerSecond
      if (due > performance.now()) await sleep(due - performance.now())
    }
  }

  /** Resolves when all requests have been answered. */
  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#requests)
  }

  stop(): Promise<void> {
    return this.#stop()
  }

  /** Ends the session of a client. */
  async logOut({ cookie }: Client): Promise<void> {
    const { status } = await this.#get('/out', cookie)
    if (status !== 200) throw new Error(`The logout failed: ${status}`)
  }

  /** What a session contains; `undefined` if it does not exist. */
  async read({ cookie }: Client): Promise<number | undefined> {
    const { status, text } = await this.#get('/read', cookie)
    if (status !== 200) throw new Error(`The read failed: ${status} ${text}`)
    return text === 'undefined' ? undefined : Number(text)
  }

  async #logIn(): Promise<void> {
    await this.#attempt(async () => {
      const { status, text, setCookie } = await this.#get('/write/0', '')
      if (status !== 200) return text
      const cookie = setCookie?.split(';')[0] ?? ''
      this.clients.push({ cookie, acknowledged: 0, isWriting: false })
      return undefined
    })
  }

  async #write(n: number): Promise<void> {
    const idle = this.clients.filter(({ isWriting }) => !isWriting)
    const client = idle[n % Math.max(1, idle.length)]
    if (client === undefined) return
    client.isWriting = true
    await this.#attempt(async () => {
      const { status, text, setCookie } = await this.#get(`/write/${n}`, client.cookie)
      if (status !== 200) return text
      if (setCookie !== undefined) return 'The session was lost.'
      client.acknowledged = n
      return undefined
    })
    client.isWriting = false
  }

  async #attempt(work: () => Promise<string | undefined>): Promise<void> {
    const beganAt = performance.now()
    const reason = await work().catch(String)
    if (reason !== undefined) this.failures.push({ beganAt, endedAt: performance.now(), reason })
  }

  async #get(path: string, cookie: string) {
    const signal = AbortSignal.timeout(deadlineMs)
    const response = await fetch(this.url + path, { headers: { cookie }, signal })
    const [setCookie] = response.headers.getSetCookie()
    return { status: response.status, text: await response.text(), setCookie }
  }
}
