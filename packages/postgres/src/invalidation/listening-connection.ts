import { answerWithin, DeadlineError } from '@stowage/core/driver'
import { destroyClient } from '../connections/client.ts'
import {
  type ConnectionSettings,
  createClient,
  type ListeningClient,
} from '../connections/client-pool.ts'
import type { Hosts } from '../connections/hosts.ts'

/** A dead connection looks like one without messages, so that a statement is sent at this interval. */
const heartbeatMs = 1_000
const minReconnectMs = 10
const maxReconnectMs = 1_000

export interface ListeningOptions {
  readonly settings: ConnectionSettings
  /** Several, of which one is the primary. */
  readonly hosts: Hosts | undefined
  readonly channel: string
  readonly onMessage: (payload: string) => void
  /** Called after each change of `isListening`. */
  readonly onStateChange: () => void
  /** Confirms that messages arrive, within this time. */
  readonly confirm: (timeoutMs: number) => Promise<void>
}

/** A connection that listens to a channel. Once it has listened, it is reopened whenever it is lost. */
export class ListeningConnection {
  readonly #options: ListeningOptions
  /** The client that listens. */
  #client: ListeningClient | undefined
  #attempt: Promise<void> | undefined
  /** The client of the attempt. */
  #connecting: ListeningClient | undefined
  #heartbeat: NodeJS.Timeout | undefined
  /** The client that has not answered the last statement yet. */
  #beating: ListeningClient | undefined
  #reconnect: NodeJS.Timeout | undefined
  #hasListened = false
  #failures = 0
  #isClosed = false

  constructor(options: ListeningOptions) {
    this.#options = options
  }

  get isListening(): boolean {
    return this.#client !== undefined
  }

  /**
   * Resolves when the connection listens.
   *
   * @throws DeadlineError, or the error of the client or of `confirm`, for the last host
   */
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
    let client: ListeningClient
    try {
      client = await this.#listenToPrimary()
    } catch (error) {
      this.#failures++
      this.#scheduleReconnect()
      throw error
    }
    this.#failures = 0
    this.#hasListened = true
    this.#client = client
    this.#heartbeat = setInterval(() => this.#beat(client), heartbeatMs).unref()
    this.#options.onStateChange()
  }

  /** Tries each host once. A standby rejects to listen. */
  async #listenToPrimary(): Promise<ListeningClient> {
    const { hosts, settings } = this.#options
    const endsAt = performance.now() + settings.timeoutMs
    for (let left = hosts?.urls.length ?? 1; ; left--) {
      const url = hosts?.current ?? settings.url
      const timeoutMs = Math.max(1, (endsAt - performance.now()) / left)
      try {
        return await this.#listen({ ...settings, url, timeoutMs })
      } catch (error) {
        if (url !== undefined) hosts?.leave(url)
        if (left === 1 || this.#isClosed) throw error
      }
    }
  }

  async #listen(settings: ConnectionSettings): Promise<ListeningClient> {
    const endsAt = performance.now() + settings.timeoutMs
    const client = createClient(settings)
    this.#connecting = client
    // Without a listener, the error of a lost connection would end the process.
    client.on('error', () => this.#lose(client))
    client.on('end', () => this.#lose(client))
    client.on('notification', ({ payload = '' }) => this.#options.onMessage(payload))
    try {
      const listening = client
        .connect()
        .then(() => client.query(`LISTEN "${this.#options.channel}"`))
      await answerWithin(settings.timeoutMs, listening, () => new DeadlineError())
      await this.#options.confirm(Math.max(1, endsAt - performance.now()))
      if (this.#isClosed) throw new Error('Connection terminated')
      return client
    } catch (error) {
      destroyClient(client)
      throw error
    } finally {
      this.#connecting = undefined
    }
  }

  #beat(client: ListeningClient): void {
    // A client executes one statement at a time. `pg` 8.23 warns of more, and `pg` 9 will not accept them.
    if (this.#beating === client) return
    this.#beating = client
    const { timeoutMs } = this.#options.settings
    const reply = answerWithin(timeoutMs, client.query('SELECT 1'), () => new DeadlineError())
    reply.then(
      () => {
        this.#beating = undefined
      },
      () => this.#lose(client),
    )
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
