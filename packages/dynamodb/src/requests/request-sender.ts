import type { ConsumedCapacity } from '@aws-sdk/client-dynamodb'
import type { CacheError, Clock } from '@stowage/core'
import { answerWithin, DeadlineError, Lifecycle } from '@stowage/core/driver'
import { areRequestsTraced, traceRequest } from '@stowage/core/internal'
import {
  isConditionFailure,
  isMissingTable,
  isOutcomeUnknown,
  isThrottling,
  isTransient,
  isUnanswered,
  moreSpecific,
  type Target,
  translate,
  withoutResponse,
} from '../dynamodb-errors.ts'
import type { Action, Actions } from '../transport/actions.ts'
import type { ServerClock } from '../transport/server-clock.ts'
import { toError } from '../transport/to-error.ts'
import type { Transport } from '../transport/transport.ts'
import { requestChannel } from './capacity.ts'
import { EndpointHealth } from './endpoint-health.ts'
import { RequestSlots } from './request-slots.ts'
import { minRequestMs, RetryBudget } from './retry-budget.ts'

const maxRequestsInFlight = 128
const regionTimeoutMs = 100
/** How long a reply of the server tells its time. */
const maxClockAgeMs = 60_000

/** The call of a store method that a request belongs to. */
export interface RequestContext {
  readonly operation: string
  readonly key?: string | undefined
  /** The number of keys in the request. @default 1 if there is a `key`, otherwise 0 */
  readonly keyCount?: number
  /** Whether the request may be retried when its outcome is unknown. @default true */
  readonly idempotent?: boolean
  /** Deadline of all attempts, on the clock of `performance.now()`. @default `timeoutMs` from now */
  readonly deadline?: number
  /** Whether the request prepares the table. A missing table is prepared again before the next call otherwise. */
  readonly prepares?: boolean
  /** Set once an attempt failed that the server may have carried out. */
  outcomeUnknown?: boolean
}

export interface RequestSenderConfig {
  readonly target: Target
  readonly timeoutMs: number
  readonly requestTimeoutMs: number
  readonly clock: ServerClock
  /** Creates the transport for the first request. */
  readonly createTransport: () => Transport
  /** The region that the client has resolved, for error messages. */
  readonly region: () => Promise<string | undefined>
  /** Runs before the first request. */
  readonly prepare?: (sender: RequestSender) => Promise<void>
}

/** The common properties of outputs that are used here. */
interface CommandOutput {
  readonly ConsumedCapacity?: ConsumedCapacity | ConsumedCapacity[]
  readonly UnprocessedKeys?: object
  readonly UnprocessedItems?: object
}

/**
 * Sends requests with a deadline, retries them while that is safe and may help, and stops sending while the endpoint is
 * unreachable.
 */
export class RequestSender {
  readonly target: Target
  readonly timeoutMs: number
  readonly retries: RetryBudget = new RetryBudget()
  readonly #config: RequestSenderConfig
  readonly #lifecycle = new Lifecycle('dynamodb')
  readonly #health: EndpointHealth
  readonly #slots = new RequestSlots(maxRequestsInFlight)
  #transport: Transport | undefined
  #prepared: Promise<void> | undefined
  #repliedAt = Number.NEGATIVE_INFINITY

  constructor(config: RequestSenderConfig) {
    this.target = config.target
    this.timeoutMs = config.timeoutMs
    this.#config = config
    this.#health = new EndpointHealth(config.target.table)
  }

  assertOpen(operation: string): void {
    this.#lifecycle.assertOpen(operation)
  }

  /** Runs the work of a store method, which `close()` waits for. @throws CacheError */
  run<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const { prepare } = this.#config
    if (prepare === undefined) return this.#lifecycle.run(operation, work)
    return this.#lifecycle.run(operation, async () => {
      await this.#prepareOnce(prepare)
      return work()
    })
  }

  /**
   * Sends a request, and retries it while that may help and the deadline allows it.
   * @throws CacheError, or the exception `ConditionalCheckFailedException`
   */
  async send<A extends Action>(
    action: A,
    input: Actions[A]['input'],
    context: RequestContext,
  ): Promise<Actions[A]['output']> {
    const { deadline = performance.now() + this.timeoutMs } = context
    let failure: unknown
    for (let failures = 1; ; failures++) {
      try {
        const output = areRequestsTraced()
          ? await this.#traced(action, input, context, deadline, failures)
          : await this.#attempt(action, input, context, deadline)
        this.retries.succeeded(failures > 1)
        return output
      } catch (error) {
        failure = failures === 1 ? error : moreSpecific(failure, error)
        const mayRetry = isTransient(error) && this.#isRepeatable(error, context)
        if (mayRetry && (await this.retries.wait(failures, deadline))) continue
        if (isMissingTable(failure) && !context.prepares) this.#prepared = undefined
        throw await this.#translate(failure, context)
      }
    }
  }

  /** The clock by which items expire. @see ServerClock.itemTime */
  get itemClock(): Pick<Clock, 'now'> {
    const { clock } = this.#config
    return { now: () => clock.itemTime() }
  }

  /** Whether the clock by which items expire is known. */
  get isTimeKnown(): boolean {
    return this.#config.clock.isKnown
  }

  /**
   * Resolves when the clock by which items expire is known.
   *
   * @param request for a reply of the server, whose time it has
   * @param context the call that needs the time, for errors
   */
  async learnTime(request: () => Promise<unknown>, context: RequestContext): Promise<void> {
    try {
      // Not the whole timeout: then an own request could not be sent any more.
      const learning = this.#config.clock.learn(this, request, this.timeoutMs / 4)
      await answerWithin(this.timeoutMs, learning, timeoutError)
    } catch (error) {
      throw await this.#translate((error as CacheError).cause ?? error, context)
    }
  }

  /** The time of the server in epoch milliseconds, if a reply in the last minute had one. */
  serverTime(): number | undefined {
    const isRecent = performance.now() - this.#repliedAt < maxClockAgeMs
    return isRecent && this.isTimeKnown ? this.#config.clock.now() : undefined
  }

  /** Waits for the calls in flight, then closes the connections. Idempotent. */
  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#transport?.close())
  }

  #prepareOnce(prepare: (sender: RequestSender) => Promise<void>): Promise<void> {
    // After a failure the next call retries it.
    this.#prepared ??= prepare(this).catch((error: unknown) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  #isRepeatable(error: unknown, context: RequestContext): boolean {
    if (!isOutcomeUnknown(error)) return true
    context.outcomeUnknown = true
    return context.idempotent !== false
  }

  /** Does `#attempt`, and publishes it. */
  #traced<A extends Action>(
    action: A,
    input: Actions[A]['input'],
    context: RequestContext,
    deadline: number,
    attempt: number,
  ): Promise<Actions[A]['output']> {
    this.#transport ??= this.#config.createTransport()
    const { operation } = context
    const keyCount = context.keyCount ?? (context.key === undefined ? 0 : 1)
    const { isInstrumented } = this.#transport
    const request = { store: 'dynamodb', operation, command: action, keyCount, attempt }
    const server = this.target.table
    return traceRequest({ ...request, server, isInstrumented }, () =>
      this.#attempt(action, input, context, deadline),
    )
  }

  /** Sends the request once, when a slot is free and unless the endpoint is unreachable. */
  async #attempt<A extends Action>(
    action: A,
    input: Actions[A]['input'],
    context: RequestContext,
    deadline: number,
  ): Promise<Actions[A]['output']> {
    const waits = !this.#slots.tryAcquire()
    if (waits) await this.#slots.acquire(deadline - minRequestMs)
    try {
      const unreachable = this.#health.begin()
      // A call that was waiting when the endpoint became unreachable fails like the calls it waited for.
      if (unreachable !== undefined) throw waits ? unreachable.cause : unreachable
      const output = requestChannel.hasSubscribers
        ? await this.#publish(action, input, context, deadline)
        : await this.#request(action, input, deadline)
      return output as Actions[A]['output']
    } finally {
      this.#slots.release()
    }
  }

  async #request(action: Action, input: object, deadline: number): Promise<object> {
    this.#transport ??= this.#config.createTransport()
    const sentAt = performance.now()
    const ms = Math.max(1, Math.min(this.#config.requestTimeoutMs, deadline - sentAt))
    try {
      const output = await this.#transport.send(action, input, ms)
      this.#replied()
      return output
    } catch (reason) {
      const error = toError(reason)
      if (isUnanswered(error)) this.#health.failed(error, sentAt)
      else if (hasStatus(error)) this.#replied()
      else this.#health.released()
      throw error
    }
  }

  #replied(): void {
    this.#health.replied()
    this.#repliedAt = performance.now()
  }

  /** Sends the request and publishes what it consumed. */
  async #publish(
    request: Action,
    input: object,
    { operation }: RequestContext,
    deadline: number,
  ): Promise<object> {
    const event = { table: this.target.table, operation, request }
    const startedAt = performance.now()
    const measured = { ...input, ReturnConsumedCapacity: 'TOTAL' }
    try {
      const output = await this.#request(request, measured, deadline)
      const durationMs = performance.now() - startedAt
      requestChannel.publish({ ...event, ...consumptionOf(output, request), durationMs })
      return output
    } catch (error) {
      requestChannel.publish({
        ...event,
        readUnits: 0,
        writeUnits: 0,
        throttled: isThrottling(error),
        durationMs: performance.now() - startedAt,
        error: withoutResponse(error as Error),
      })
      throw error
    }
  }

  async #translate(error: unknown, { operation, key }: RequestContext): Promise<unknown> {
    if (isConditionFailure(error)) return error
    const region = (await this.#resolvedRegion()) ?? this.target.region
    const host = this.#transport?.host
    return translate(error, { ...this.target, region, host }, operation, key)
  }

  /** A failure or a long wait gives `undefined`. */
  async #resolvedRegion(): Promise<string | undefined> {
    const region = this.#config.region()
    return answerWithin(regionTimeoutMs, region, timeoutError).catch(() => undefined)
  }
}

function consumptionOf({ ConsumedCapacity: consumed, ...output }: CommandOutput, request: string) {
  const units = (Array.isArray(consumed) ? consumed : [consumed]).reduce(
    (sum, table) => sum + (table?.CapacityUnits ?? 0),
    0,
  )
  const isRead = /Get|Scan/.test(request)
  const unprocessed = { ...output.UnprocessedKeys, ...output.UnprocessedItems }
  return {
    readUnits: isRead ? units : 0,
    writeUnits: isRead ? 0 : units,
    throttled: Object.keys(unprocessed).length > 0,
  }
}

function hasStatus(error: unknown): boolean {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
  return $metadata?.httpStatusCode !== undefined
}

function timeoutError(): Error {
  return new DeadlineError()
}
