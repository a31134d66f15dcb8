import { CacheError, type Consistency } from '@stowage/core'
import { DeadlineError, isUnreachable, type Lifecycle, withDeadline } from '@stowage/core/driver'
import { areRequestsTraced, traceRequest } from '@stowage/core/internal'
import type { Connection } from './connection/connection.ts'
import type { CommandClient } from './protocol/command-client.ts'
import { isUntraced } from './protocol/ioredis-internals.ts'
import {
  isConnectionLost,
  isRejectedByReplica,
  isScriptMissing,
  isScriptRefused,
  isSlotMigrating,
  translate,
} from './redis-errors.ts'
import { mayHaveMoved, type SlotLayout } from './topology/slot-layout.ts'
import type { Topology } from './topology/topology.ts'
import type { ReplicaWait } from './wait-for-replicas.ts'

/** A call is retried only if this share of its timeout remains. */
const minRetryShare = 0.4

/** `withBatching` makes these calls, when a turn of the event loop has ended if others are in flight. */
const batchedOperations: ReadonlySet<string> = new Set(['get', 'getMany', 'set', 'setMany'])

export type Command<T> = (client: CommandClient) => Promise<T>

interface Call<T> {
  readonly operation: string
  readonly keys: readonly string[]
  readonly command: Command<T>
  /** The same for each key separately, for keys whose slot is being migrated. */
  readonly singly?: Command<T> | undefined
  /** `'idempotent'`: executing the command twice has the same effect as once. Only a `'read'` may use other servers. */
  readonly kind: 'read' | 'idempotent' | 'once'
  readonly consistency?: Consistency | undefined
  /** For reads: whether the reply lacks a requested key. */
  isIncomplete?(reply: T): boolean
  /** `performance.now()` when the timeout of the call started. */
  startedAt: number
  /** Connections on which the call has failed. */
  readonly failed?: readonly Connection[]
  /** Whether `close()` waits for the call already, so that it may be sent although `close()` was called. */
  readonly isInFlight?: boolean
}

/** Sends each command to a server of the topology. Retries failed commands where that is safe, within the timeout. */
export class CommandExecutor {
  readonly #topology: Topology
  readonly #lifecycle: Lifecycle
  readonly #timeoutMs: number
  /** `undefined` if a write succeeds once the primary has executed it. */
  readonly #replicaWait: ReplicaWait | undefined

  constructor(
    topology: Topology,
    lifecycle: Lifecycle,
    timeoutMs: number,
    replicaWait: ReplicaWait | undefined,
  ) {
    this.#topology = topology
    this.#lifecycle = lifecycle
    this.#timeoutMs = timeoutMs
    this.#replicaWait = replicaWait
  }

  read<T>(
    operation: string,
    keys: readonly string[],
    command: Command<T>,
    isIncomplete: (reply: T) => boolean,
    consistency: Consistency | undefined,
    singly?: Command<T>,
  ): Promise<T> {
    const reader = this.#topology.reader(keys, consistency) as Connection
    const startedAt = performance.now()
    return this.#send(reader, {
      operation,
      keys,
      command,
      singly,
      kind: 'read',
      consistency,
      isIncomplete,
      startedAt,
    })
  }

  /** `kind` is `'idempotent'` if executing the command twice has the same effect as once. */
  write<T>(
    operation: string,
    keys: readonly string[],
    command: Command<T>,
    kind: 'idempotent' | 'once' = 'once',
    singly?: Command<T>,
  ): Promise<T> {
    const endWrite = this.#topology.beginWrite(keys)
    const startedAt = performance.now()
    const call: Call<T> = { operation, keys, command, singly, kind, startedAt }
    if (this.#replicaWait !== undefined) {
      return this.#writeAndWait(this.#replicaWait, call).finally(endWrite)
    }
    const reply = this.#send(this.#topology.primary(keys[0] ?? ''), call)
    return endWrite === undefined ? reply : reply.finally(endWrite)
  }

  /** Sends a command that concerns all keys to every primary, within a call that `close()` waits for. */
  async onPrimaries(operation: string, command: Command<unknown>): Promise<void> {
    const primaries = await this.primaries(operation)
    await Promise.all(primaries.map((primary) => this.sendTo(primary, operation, command)))
  }

  /** Sends a command of a call that is in flight, and for which `close()` waits, on the given connection. */
  sendTo<T>(connection: Connection, operation: string, command: Command<T>): Promise<T> {
    const startedAt = performance.now()
    const call: Call<T> = {
      operation,
      keys: [],
      command,
      kind: 'once',
      startedAt,
      isInFlight: true,
    }
    return this.#send(connection, call)
  }

  /** @throws CacheError if the nodes of a cluster cannot be discovered */
  async clockServer(operation: string): Promise<Connection> {
    try {
      return await this.#topology.clockServer()
    } catch (error) {
      throw translate(error, operation)
    }
  }

  /** @throws CacheError if the primaries of a cluster cannot be discovered */
  async primaries(operation: string): Promise<readonly Connection[]> {
    try {
      return await this.#topology.primaries()
    } catch (error) {
      throw translate(error, operation)
    }
  }

  /**
   * Returns a function that resolves to whether keys may have moved between the primaries since. A key may then have
   * moved from a primary that a pass over all of them had not reached to one that it had. A second pass reaches it.
   */
  async watchSlots(operation: string): Promise<() => Promise<boolean>> {
    const before = await this.#slotLayout(operation)
    return async () => {
      if (before === undefined) return false
      const after = await this.#slotLayout(operation)
      return after === undefined || mayHaveMoved(before, after)
    }
  }

  async #slotLayout(operation: string): Promise<SlotLayout | undefined> {
    try {
      return await this.#topology.slotLayout?.()
    } catch (error) {
      throw translate(error, operation)
    }
  }

  async #writeAndWait<T>(replicaWait: ReplicaWait, call: Call<T>): Promise<T> {
    try {
      return await replicaWait.run(
        () => this.#send(replicaWait.connection, call),
        () => this.#remainingMs(call),
      )
    } catch (error) {
      throw translate(error, call.operation, call.keys[0])
    }
  }

  /** Sends a command once the connection is established, in one write with the other commands of the turn. */
  async #send<T>(connection: Connection, call: Call<T>, deadline?: AbortSignal): Promise<T> {
    if (call.isInFlight !== true) this.#lifecycle.assertOpen(call.operation)
    const ready = connection.ready()
    if (ready !== undefined) return this.#sendWhenReady(connection, call, ready, deadline)
    const client = connection.beginCommand(batchedOperations.has(call.operation))
    try {
      const reply = await (areRequestsTraced()
        ? traced(connection, call, client)
        : call.command(client))
      const { fallbackReader } = this.#topology
      if (fallbackReader === undefined || call.isIncomplete?.(reply) !== true) return reply
      return this.#complete(connection, call, reply)
    } catch (error) {
      const failure = translate(connection.commandFailed(error), call.operation, call.keys[0])
      return this.#retry(connection, call, failure)
    } finally {
      connection.endCommand()
    }
  }

  /** The reply of the fallback reader, instead of an incomplete one. */
  #complete<T>(connection: Connection, call: Call<T>, reply: T): T | Promise<T> {
    const fallback = this.#topology.fallbackReader?.(connection, call.consistency)
    if (fallback === undefined) return reply
    const result = this.#sendWithDeadline(fallback, call, failedConnections(call, connection))
    return result.catch((error) => {
      // The reply is better than none while the primary is unreachable.
      if (isUnreachable(error)) return reply
      throw error
    })
  }

  async #sendWhenReady<T>(
    connection: Connection,
    call: Call<T>,
    ready: Promise<void>,
    deadline: AbortSignal | undefined,
  ): Promise<T> {
    try {
      await ready
    } catch (error) {
      return this.#retry(connection, call, translate(error, call.operation, call.keys[0]))
    }
    if (deadline?.aborted === true)
      throw translate(new DeadlineError(), call.operation, call.keys[0])
    // The first connection may take longer than the timeout; at least half of it remains for the command.
    call.startedAt = Math.max(call.startedAt, performance.now() - this.#timeoutMs / 2)
    return this.#sendWithDeadline(connection, call, call.failed ?? [])
  }

  /** Sends a failed command again where that is safe and time remains; otherwise throws the failure. */
  async #retry<T>(connection: Connection, call: Call<T>, failure: CacheError): Promise<T> {
    const failed = failedConnections(call, connection)
    if (call.singly !== undefined && isSlotMigrating(failure)) {
      const singly = { ...call, command: call.singly, singly: undefined }
      return this.#sendWithDeadline(connection, singly, call.failed ?? [])
    }
    const isScriptFailure = isScriptMissing(failure) || isScriptRefused(failure.cause)
    if (isScriptFailure && failed.length === 1) {
      return this.#sendWithDeadline(connection, call, failed)
    }
    if (!this.#mayRetry(call, failure)) throw failure
    const other = call.kind === 'read' ? this.#otherReader(call, failure, failed) : undefined
    const next =
      other ?? (failed.length === 1 && isConnectionLost(failure) ? connection : undefined)
    if (next === undefined) throw failure
    return this.#sendWithDeadline(next, call, failed)
  }

  #mayRetry(call: Call<unknown>, failure: CacheError): boolean {
    if (this.#remainingMs(call) < this.#timeoutMs * minRetryShare) return false
    if (call.kind === 'once') return isRejectedByReplica(failure)
    return isUnreachable(failure) || isRejectedByReplica(failure)
  }

  #otherReader(call: Call<unknown>, failure: CacheError, failed: readonly Connection[]) {
    const { keys, consistency } = call
    return isUnreachable(failure) ? this.#topology.reader(keys, consistency, failed) : undefined
  }

  /** Sends the command of a call that is in flight already, within its remaining time. */
  async #sendWithDeadline<T>(
    connection: Connection,
    call: Call<T>,
    failed: readonly Connection[],
  ): Promise<T> {
    try {
      return await withDeadline(this.#remainingMs(call), (deadline) =>
        this.#send(connection, { ...call, failed, isInFlight: true }, deadline),
      )
    } catch (error) {
      const cause = CacheError.is(error) ? error : connection.commandFailed(error)
      throw translate(cause, call.operation, call.keys[0])
    }
  }

  #remainingMs({ startedAt }: Call<unknown>): number {
    return this.#timeoutMs - (performance.now() - startedAt)
  }
}

/** Sends the command, and publishes the request. */
function traced<T>(connection: Connection, call: Call<T>, client: CommandClient): Promise<T> {
  const { operation, keys, failed } = call
  const request = {
    store: 'redis',
    operation,
    command: undefined,
    keyCount: keys.length,
    attempt: (failed?.length ?? 0) + 1,
    server: connection.address,
    isInstrumented: !isUntraced(connection.client),
  }
  return traceRequest(request, () => call.command(client))
}

function failedConnections(call: Call<unknown>, connection: Connection): Connection[] {
  return [...(call.failed ?? []), connection]
}
