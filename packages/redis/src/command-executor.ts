import type { CacheError, Consistency } from '@stowage/core'
import type { Lifecycle } from '@stowage/core/driver'
import { DeadlineError, isUnreachable, withDeadline } from '@stowage/core/driver'
import type { Connection } from './connection/connection.ts'
import { isBroken, isRefusedByReplica, translate } from './redis-errors.ts'
import type { RedisClient } from './redis-options.ts'
import type { Topology } from './topology/topology.ts'

/** What share of its time a call must have left to be sent once more. */
const leastLeft = 0.4

export type Command<T> = (client: RedisClient) => Promise<T>

export interface Call<T> {
  readonly operation: string
  readonly keys: readonly string[]
  readonly command: Command<T>
  /** Whether doing it twice does the same as doing it once; a read may also be answered by another server. */
  readonly kind: 'read' | 'idempotent' | 'once'
  readonly consistency?: Consistency | undefined
  /** Of a read: whether something is missing in its answer. */
  lacks?(answer: T): boolean
  /** When its time began, by `performance.now()`. */
  since: number
  /** Who has been asked in vain; given once the call is under way, so that a `close` meanwhile waits for it. */
  readonly failed?: readonly Connection[]
}

/** Sends commands, elsewhere or once more where a server fails them, and ends each call in its time. */
export class Calls {
  readonly #topology: Topology
  readonly #timeoutMs: number
  readonly #lifecycle: Lifecycle

  constructor(topology: Topology, timeoutMs: number, lifecycle: Lifecycle) {
    this.#topology = topology
    this.#timeoutMs = timeoutMs
    this.#lifecycle = lifecycle
  }

  /** Sends a command as soon as there is a connection, together with all others of this tick. */
  async send<T>(connection: Connection, call: Call<T>, deadline?: AbortSignal): Promise<T> {
    if (call.failed === undefined) this.#lifecycle.assertOpen(call.operation)
    const waiting = connection.ready()
    if (waiting !== undefined) return this.#sendLate(connection, call, waiting, deadline)
    connection.begin()
    try {
      const answer = await call.command(connection.client)
      return call.lacks === undefined ? answer : this.#completed(connection, call, answer)
    } catch (error) {
      const failure = translate(connection.failed(error), call.operation, call.keys[0])
      return this.#again(connection, call, failure)
    } finally {
      connection.end()
    }
  }

  /** The answer, or that of who may have what is missing in it. */
  #completed<T>(connection: Connection, call: Call<T>, answer: T): T | Promise<T> {
    const elsewhere = this.#topology.elsewhere?.(connection, call.consistency)
    if (elsewhere === undefined || call.lacks?.(answer) !== true) return answer
    const failed = [...(call.failed ?? []), connection]
    return this.#within(this.left(call), call, (deadline) =>
      this.send(elsewhere, { ...call, failed }, deadline),
    )
  }

  async #sendLate<T>(
    connection: Connection,
    call: Call<T>,
    waiting: Promise<void>,
    deadline: AbortSignal | undefined,
  ): Promise<T> {
    try {
      await waiting
    } catch (error) {
      return this.#again(connection, call, translate(error, call.operation, call.keys[0]))
    }
    if (deadline?.aborted === true)
      throw translate(new DeadlineError(), call.operation, call.keys[0])
    // The first connection is not on the call's time, so that there may be none left.
    call.since = Math.max(call.since, performance.now() - this.#timeoutMs / 2)
    const underWay = { ...call, failed: call.failed ?? [] }
    return this.#within(this.left(call), call, (late) => this.send(connection, underWay, late))
  }

  /** Sends it once more where that can do no harm and there is time, or fails. */
  async #again<T>(connection: Connection, call: Call<T>, failure: CacheError): Promise<T> {
    const failed = [...(call.failed ?? []), connection]
    if (!this.#mayRepeat(call, failure)) throw failure
    const other = call.kind === 'read' ? this.#otherReader(call, failure, failed) : undefined
    const next = other ?? (failed.length === 1 && isBroken(failure) ? connection : undefined)
    if (next === undefined) throw failure
    return this.#within(this.left(call), call, (deadline) =>
      this.send(next, { ...call, failed }, deadline),
    )
  }

  #mayRepeat(call: Call<unknown>, failure: CacheError): boolean {
    if (this.left(call) < this.#timeoutMs * leastLeft) return false
    if (call.kind === 'once') return isRefusedByReplica(failure)
    return isUnreachable(failure) || isRefusedByReplica(failure)
  }

  #otherReader(call: Call<unknown>, failure: CacheError, failed: readonly Connection[]) {
    const { keys, consistency } = call
    return isUnreachable(failure) ? this.#topology.reader(keys, consistency, failed) : undefined
  }

  async #within<T>(
    ms: number,
    { operation, keys }: Call<T>,
    work: (deadline: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await withDeadline(ms, work)
    } catch (error) {
      throw translate(error, operation, keys[0])
    }
  }

  /** Milliseconds of the call's time that are left. */
  left({ since }: Call<unknown>): number {
    return this.#timeoutMs - (performance.now() - since)
  }
}
