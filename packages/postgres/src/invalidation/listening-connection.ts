import { answerWithin, DeadlineError } from '@stowage/core/driver'
import { destroyClient } from '../connections/client.ts'
import {
  type ConnectionSettings,
  createClient,
  type ListeningClient,
} from '../connections/client-pool.ts'
import { type Hosts, hostsOf } from '../connections/hosts.ts'

/** A dead connection looks like one without messages, so that a statement is sent at this interval. */
const heartbeatMs = 1_000
const minReconnectMs = 10
const maxReconnectMs = 1_000

export interface ListeningOptions {
  readonly settings: ConnectionSettings
  readonly channel: string
  readonly onMessage: (payload: string) => void
  /** Called after each change of `isListening`. */
  readonly onStateChange: () => void
  /** Confirms that messages arrive. */
  readonly confirm: () => Promise<void>
}

/** A connection that listens to a channel. Once it has listened, it is reopened whenever it is lost. */
export class ListeningConnection {
  readonly #options: ListeningOptions
  readonly #hosts: Hosts | undefined
  /** The client that listens. */
  #client: ListeningClient | undefined
  #attempt: Promise<void> | undefined
  /** The client of the attempt. */
  #connecting: ListeningClient | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #reconnect: NodeJS.Timeout | undefined
  #hasListened = false
  #failures = 0
  #isClosed = false

  constructor(options: ListeningOptions) {
    this.#options = options
    this.#hosts = hostsOf(options.settings.url)
  }

  get isListening(): boolean {
    return this.#client !== undefined
  }

  /** Resolves when the connection listens. @throws DeadlineError, or the error of the client */
  open(): Promise<void> {
    if (this.#client !== undefined) return Promise.resolve()
    this.#attempt ??= this.#connect().finally(() => {
      this.#attempt = undefined
    })
    return this.#attempt
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#reconnect)
    if (this.#connecting !== undefined) destroyClient(this.#connecting)
    await this.#attempt?.catch(() => {})
    const client = this.#client
    if (client === undefined) return
    const { timeoutMs } = this.#options.settings
    await answerWithin(timeoutMs, client.end(), () => new DeadlineError()).catch(() => {})
    this.#lose(client)
  }

  async #connect(): Promise<void> {
    clearTimeout(this.#reconnect)
    const { settings } = this.#options
    const url = this.#hosts?.current ?? settings.url
    const client = createClient({ ...settings, url })
    this.#connecting = client
    // Without a listener, the error of a lost connection would end the process.
    client.on('error', () => this.#lose(client))
    client.on('end', () => this.#lose(client))
    client.on('notification', ({ payload = '' }) => this.#options.onMessage(payload))
    try {
      await this.#within(this.#listen(client))
      if (this.#isClosed) throw new Error('Connection terminated')
    } catch (error) {
      destroyClient(client)
      // A standby rejects to listen.
      if (url !== undefined) this.#hosts?.leave(url)
      this.#failures++
      this.#scheduleReconnect()
      throw error
    } finally {
      this.#connecting = undefined
    }
    this.#failures = 0
    this.#hasListened = true
    this.#client = client
    this.#heartbeat = setInterval(() => this.#beat(client), heartbeatMs).unref()
    this.#options.onStateChange()
  }

  async #listen(client: ListeningClient): Promise<void> {
    await client.connect()
    await client.query(`LISTEN "${this.#options.channel}"`)
    await this.#options.confirm()
  }

  #beat(client: ListeningClient): void {
    this.#within(client.query('SELECT 1')).catch(() => this.#lose(client))
  }

  #within<T>(work: Promise<T>): Promise<T> {
    return answerWithin(this.#options.settings.timeoutMs, work, () => new DeadlineError())
  }

  #lose(client: ListeningClient): void {
    destroyClient(client)
    if (client !== this.#client) return
    clearInterval(this.#heartbeat)
    this.#client = undefined
    this.#options.onStateChange()
    this.#scheduleReconnect()
  }

  #scheduleReconnect(): void {
    if (this.#isClosed || !this.#hasListened) return
    const ms = Math.min(maxReconnectMs, minReconnectMs * 2 ** Math.min(this.#failures, 10))
    const open = () => void this.open().catch(() => {})
    this.#reconnect = setTimeout(open, ms * (0.5 + Math.random() / 2)).unref()
  }
}
