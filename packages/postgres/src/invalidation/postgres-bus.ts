import { randomUUID } from 'node:crypto'
import { CacheError, type InvalidationBus, type InvalidationListener } from '@stowage/core'
import { checkOptionNames, checkTimeout, DeadlineError, Lifecycle } from '@stowage/core/driver'
import { BusListeners, Deferred, PublishBatches } from '@stowage/core/internal'
import type { PostgresClient } from '../connections/client.ts'
import { createPool } from '../connections/client-pool.ts'
import { Executor } from '../connections/executor.ts'
import { statement } from '../connections/statement.ts'
import { TransactionExecutor } from '../connections/transaction-executor.ts'
import { textArray } from '../items/array-parameter.ts'
import { translate } from '../postgres-errors.ts'
import { checkUrl, type PostgresOptions } from '../postgres-options.ts'
import { isIdentifier } from '../table-name.ts'
import type { TransactionalBus } from '../transactions/within.ts'
import { formatMessages, formatProbe, MessageNumbers, parseMessage } from './bus-messages.ts'
import { ListeningConnection } from './listening-connection.ts'

/** How long after a failed message another one is sent. */
const resyncMs = 500

/** The messages of a statement are sent with its commit, of which the server makes one at a time. Repeating it does no harm. */
const notify = statement('SELECT pg_notify($1, m) FROM unnest($2::text[]) m', { isRead: true })

export interface PostgresBusOptions
  extends Pick<PostgresOptions, 'url' | 'password' | 'ssl' | 'timeout'> {
  /**
   * The channel of `LISTEN` and `NOTIFY`, which each database has its own of: letters, digits and "_".
   * @default 'stowage_invalidate'
   */
  readonly channel?: string | undefined
}

/**
 * An invalidation bus over `LISTEN` and `NOTIFY`, on two connections of its own. All keys published in one tick are sent
 * with one statement. A bus does not receive its own messages, except those of {@link within}, and does not announce expiry
 * or writes of other programs, unless those send messages too: `NOTIFY stowage_invalidate, '{"keys":["app:user:7"]}'`. Any
 * other text means "anything".
 *
 * It needs the address of the server itself: a pooler in transaction mode gives the connection to other clients, so that
 * messages do not arrive. `subscribe` then rejects.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @throws TypeError for unknown options
 *
 * @example
 * const url = process.env['DATABASE_URL']
 * const near = { bus: () => postgresBus({ url }) }
 * const cache = new Cache(postgres({ url, ensureTable: 'create' }), { near })
 */
export function postgresBus(options: PostgresBusOptions = {}): InvalidationBus {
  return new PostgresBus(options)
}

export class PostgresBus implements InvalidationBus, TransactionalBus {
  readonly #channel: string
  readonly #timeoutMs: number
  readonly #senderId = randomUUID()
  readonly #listeners = new BusListeners()
  readonly #lifecycle = new Lifecycle('postgres bus')
  readonly #publisher: Executor
  readonly #subscription: ListeningConnection
  readonly #batches = new PublishBatches((keys) => this.#send(keys))
  /** The message that has to arrive. */
  #probe: { readonly id: string; readonly onArrival: () => void } | undefined
  #numbers = new MessageNumbers()
  #number = 0
  /** Whether a message may be lost. The next one then means "anything may have changed". */
  #resyncPending = false
  #resync: NodeJS.Timeout | undefined

  constructor(options: PostgresBusOptions) {
    checkBusOptions(options)
    const { url, password, ssl, channel = 'stowage_invalidate' } = options
    const timeoutMs = checkTimeout('postgres bus: timeout', options.timeout ?? '2s')
    // Without settings of the session, which PgBouncer refuses: in its session mode, messages arrive.
    const settings = { url, password, ssl, timeoutMs, transactionPooling: true }
    this.#channel = channel
    this.#timeoutMs = timeoutMs
    const ownPool = createPool({ ...settings, maxConnections: 1 })
    this.#publisher = new Executor({ pool: ownPool, ownPool, timeoutMs, preparedStatements: false })
    this.#subscription = new ListeningConnection({
      settings,
      channel,
      onMessage: (text) => this.#onMessage(text),
      onStateChange: () => this.#onStateChange(),
      confirm: () => this.#confirm(),
    })
  }

  get connected(): boolean {
    return this.#subscription.isListening
  }

  publish(keys: readonly string[]): Promise<void> {
    this.#lifecycle.assertOpen('publish')
    return keys.length === 0 ? Promise.resolve() : this.#batches.add(keys)
  }

  async subscribe(listener: InvalidationListener): Promise<() => void> {
    this.#lifecycle.assertOpen('subscribe')
    const unsubscribe = this.#listeners.add(listener)
    try {
      await this.#subscription.open()
      this.#lifecycle.assertOpen('subscribe')
    } catch (error) {
      unsubscribe()
      throw this.#subscribeError(error)
    }
    return unsubscribe
  }

  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      await this.#batches.settled()
      clearTimeout(this.#resync)
      await this.#subscription.close()
      await this.#publisher.close()
      this.#listeners.clear()
    })
  }

  '~within'(client: PostgresClient): (keys: readonly string[]) => Promise<void> {
    const executor = new TransactionExecutor(client, this.#timeoutMs)
    const sender = randomUUID()
    const batches = new PublishBatches(async (keys) => {
      const messages = formatMessages(sender, keys, () => undefined)
      await executor.run(notify, [this.#channel, textArray(messages)])
    })
    return (keys) => batches.add(keys)
  }

  #onMessage(text: string): void {
    const message = parseMessage(text)
    if (message.probe !== undefined) {
      if (message.probe === this.#probe?.id) this.#probe.onArrival()
      return
    }
    if (message.from === this.#senderId) return
    this.#listeners.notify(this.#numbers.isGap(message) ? undefined : message.keys)
  }

  #onStateChange(): void {
    this.#numbers = new MessageNumbers()
    this.#listeners.notify(undefined)
  }

  /** Sends a message on the other connection, and waits until it arrives. */
  async #confirm(): Promise<void> {
    const id = randomUUID()
    const { promise, resolve } = new Deferred<void>()
    this.#probe = { id, onArrival: resolve }
    await this.#notify([formatProbe(this.#senderId, id)])
    await promise
    this.#probe = undefined
  }

  #subscribeError(error: unknown): CacheError {
    const isMissing = error instanceof DeadlineError && this.#probe !== undefined
    this.#probe = undefined
    if (!isMissing) return translate(error, 'subscribe')
    return new CacheError(
      'ERR_CACHE_TIMEOUT',
      'postgres subscribe failed: a message of NOTIFY did not arrive before the deadline. If a pooler such as PgBouncer is ' +
        'between, use the address of the server itself for the bus.',
      { store: 'postgres', operation: 'subscribe', cause: error },
    )
  }

  async #send(keys: readonly string[]): Promise<void> {
    const changed = this.#resyncPending ? undefined : keys
    this.#resyncPending = false
    try {
      await this.#notify(formatMessages(this.#senderId, changed, () => this.#number++))
    } catch (error) {
      this.#resyncLater()
      throw translate(error, 'publish')
    }
  }

  async #notify(messages: readonly string[]): Promise<void> {
    await this.#publisher.run(notify, [this.#channel, textArray(messages)])
  }

  #resyncLater(): void {
    this.#resyncPending = true
    clearTimeout(this.#resync)
    this.#resync = setTimeout(() => {
      if (this.#resyncPending) this.#send([]).catch(() => {})
    }, resyncMs).unref()
  }
}

function checkBusOptions(options: PostgresBusOptions): void {
  checkOptionNames<PostgresBusOptions>(
    'postgres bus',
    options,
    { url: true, password: true, ssl: true, timeout: true, channel: true },
    "postgresBus({ url: 'postgres://127.0.0.1/app' })",
  )
  checkUrl(options.url)
  const { channel } = options
  if (channel === undefined || isIdentifier(channel)) return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'postgres: channel must consist of letters, digits and "_", at most 63, and begin with a letter.',
  )
}
