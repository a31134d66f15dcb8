import { DeadlineError } from '@stowage/core/driver'
import { Connection, defaultItemBytes } from '../connection/connection.ts'
import type { WireOptions } from '../connection/wire.ts'
import type { NodeAddress } from '../node-address.ts'
import { binary } from '../protocol/binary-protocol.ts'
import { meta } from '../protocol/meta-protocol.ts'
import { OtherProtocol, type Protocol } from '../protocol/protocol.ts'
import { Debts } from './pending-deletes.ts'

const firstPauseMs = 10

export interface NodeOptions extends WireOptions {
  readonly protocol: 'auto' | 'binary' | 'meta'
  /** Longest pause between two attempts to reach a node that has failed. */
  readonly retryMs: number
  /** Called when the node comes, goes or fails. */
  readonly onChange: (node: Node) => void
}

/** `'idle'`: not needed yet, or its connection was lost and nothing has needed it since. */
export type NodeState = 'idle' | 'connecting' | 'up' | 'down' | 'closed'

/**
 * A server and the one connection to it. The first call connects; a connection that was lost is made again when it is
 * needed. A node that cannot be connected to, or has let a request wait too long, is down: calls fail at once, while
 * attempts go on in the background until one succeeds.
 */
export class Node {
  address: NodeAddress
  /** While the node is up. */
  connection: Connection | undefined
  /** Largest item it takes, as far as is known. */
  itemBytes: number = defaultItemBytes
  readonly #debts = new Debts()
  readonly #options: NodeOptions
  #protocols: readonly Protocol[]
  #attempt: Promise<Connection> | undefined
  #failure: Error | undefined
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(address: NodeAddress, options: NodeOptions) {
    this.address = address
    this.#options = options
    const { protocol } = options
    this.#protocols = [binary, meta].filter(({ name }) => protocol === 'auto' || protocol === name)
  }

  get state(): NodeState {
    if (this.#closed) return 'closed'
    if (this.connection !== undefined) return 'up'
    if (this.#failure !== undefined) return 'down'
    return this.#attempt === undefined ? 'idle' : 'connecting'
  }

  /** Why the node is down. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** The connection, once there is one. Settles in bounded time; at once where the node is known to be down. */
  ready(): Promise<Connection> {
    if (this.#closed) return Promise.reject(new Error('the node is not in use any more'))
    if (this.connection !== undefined) return Promise.resolve(this.connection)
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return this.#connect()
  }

  /** Has the node delete a key before it is asked again. */
  forget(key: string): void {
    this.#debts.add(key)
    // Where that fails, the connection has ended, and the next one begins with it.
    if (this.connection) this.#debts.settle(this.connection).catch(() => {})
  }

  /** Ends the connection when what is under way is done, and what waits for it. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#attempt?.catch(() => {})
    await this.connection?.drain()
  }

  #connect(): Promise<Connection> {
    this.#attempt ??= this.#open().then(
      (connection) => this.#succeeded(connection),
      (error) => this.#failed(error),
    )
    return this.#attempt
  }

  /** In the first protocol the server does not refuse; it is the only one from then on. */
  async #open(): Promise<Connection> {
    for (const [index, protocol] of this.#protocols.entries()) {
      const connection = new Connection(this.address, protocol, this.#options, (reason) =>
        this.#lost(connection, reason),
      )
      try {
        await connection.open()
        await this.#debts.settle(connection)
        this.#protocols = [protocol]
        return connection
      } catch (error) {
        // As it was before it became the error of a request.
        const reason = ((error as Error).cause ?? error) as Error
        connection.close()
        if (index === this.#protocols.length - 1 || !refuses(connection, reason)) throw reason
      }
    }
    throw new Error('no protocol')
  }

  #succeeded(connection: Connection): Connection {
    this.#attempt = undefined
    if (connection.ended !== undefined) return this.#failed(connection.ended)
    this.#failure = undefined
    this.#failures = 0
    this.connection = connection
    this.itemBytes = connection.itemBytes
    this.#options.onChange(this)
    return connection
  }

  #failed(reason: Error): never {
    this.#attempt = undefined
    this.#fail(reason)
    throw reason
  }

  #lost(connection: Connection, reason: Error): void {
    if (this.connection !== connection) return
    this.connection = undefined
    // Who was silent once may be silent again, and a call would wait for it.
    if (reason instanceof DeadlineError) this.#fail(reason)
    else this.#options.onChange(this)
  }

  #fail(reason: Error): void {
    // Later calls are not late: nothing is sent.
    this.#failure = reason instanceof DeadlineError ? new Error('the node is down') : reason
    if (this.#closed) return
    const pause = Math.min(firstPauseMs * 2 ** this.#failures, this.#options.retryMs)
    this.#failures++
    this.#timer = setTimeout(
      () => {
        if (!this.#closed) this.#connect().catch(() => {})
      },
      pause * (0.75 + Math.random() / 2),
    ).unref()
    this.#options.onChange(this)
  }
}

/** Whether the server may speak another protocol: it was there, and did not say a word of this one. */
function refuses(connection: Connection, reason: Error): boolean {
  if (reason instanceof OtherProtocol) return true
  return connection.connected && connection.release === '' && !(reason instanceof DeadlineError)
}
