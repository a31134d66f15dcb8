import type { ConsumedCapacity } from '@aws-sdk/client-dynamodb'
import { answerWithin, DeadlineError, Lifecycle } from '@stowage/core/driver'
import {
  isConditionFailure,
  isOutcomeUnknown,
  isThrottling,
  isTransient,
  type Target,
  translate,
  withoutResponse,
} from '../dynamodb-errors.ts'
import type { DynamoDBClient } from '../dynamodb-options.ts'
import { requestChannel } from './capacity.ts'
import { waitBeforeRetry } from './retry-delay.ts'

const maxAttempts = 3
const regionTimeoutMs = 100

/** A command of the SDK. */
export interface Command {
  readonly input: object
}

/** The call of a store method that a request belongs to. */
export interface RequestContext {
  readonly operation: string
  readonly key?: string | undefined
  /** Whether the request may be retried when its outcome is unknown. @default true */
  readonly idempotent?: boolean
  /** Deadline of all attempts, on the clock of `performance.now()`. @default `timeoutMs` from now */
  readonly deadline?: number
  /** Set once an attempt failed that the server may have carried out. */
  outcomeUnknown?: boolean
}

export interface RequestSenderConfig {
  readonly target: Target
  readonly timeoutMs: number
  readonly requestTimeoutMs: number
  /**
   * Whether the client itself ends a request after `requestTimeoutMs`. Otherwise every request gets an abort signal, which
   * makes the SDK a quarter slower: it does not cache the middleware of requests with options.
   */
  readonly clientHasTimeout: boolean
  /** Creates the client for the first request. */
  readonly createClient: () => DynamoDBClient
  /** Runs before the first request. */
  readonly prepare?: (sender: RequestSender) => Promise<void>
  /** Releases the client; does nothing for an injected one. */
  readonly releaseClient: () => void
}

/** A client without the overloads for each command: callers declare the output type. */
interface UntypedClient {
  send(command: Command, options?: { abortSignal: AbortSignal }): Promise<unknown>
}

/** The common properties of outputs that are used here. */
interface CommandOutput {
  readonly ConsumedCapacity?: ConsumedCapacity | ConsumedCapacity[]
  readonly UnprocessedKeys?: object
  readonly UnprocessedItems?: object
}

/**
 * Sends requests with a deadline, because the timeouts of the SDK do not cover credentials and the wait for a socket. Also
 * retries them, because the SDK would retry requests that must not be carried out twice, and waits a second or more after
 * throttling.
 */
export class RequestSender {
  readonly target: Target
  readonly timeoutMs: number
  readonly #config: RequestSenderConfig
  readonly #lifecycle = new Lifecycle('dynamodb')
  #client: DynamoDBClient | undefined
  #prepared: Promise<void> | undefined

  constructor(config: RequestSenderConfig) {
    this.target = config.target
    this.timeoutMs = config.timeoutMs
    this.#config = config
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
   * Sends a request, and retries it after a short delay while that may help and the deadline allows it.
   * @throws CacheError, or the SDK's `ConditionalCheckFailedException`
   */
  async send<Output>(command: Command, context: RequestContext): Promise<Output> {
    const { deadline = performance.now() + this.timeoutMs } = context
    for (let failures = 1; ; failures++) {
      try {
        return (await this.#attempt(command, context, deadline)) as Output
      } catch (error) {
        const mayRetry =
          failures < maxAttempts && isTransient(error) && this.#isRepeatable(error, context)
        if (!mayRetry || !(await waitBeforeRetry(failures, deadline)))
          throw await this.#translate(error, context)
      }
    }
  }

  /** Waits for the calls in flight, then releases the client. Idempotent. */
  close(): Promise<void> {
    return this.#lifecycle.close(this.#config.releaseClient)
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

  async #attempt(command: Command, context: RequestContext, deadline: number): Promise<unknown> {
    this.#client ??= this.#config.createClient()
    const client = this.#client as unknown as UntypedClient
    const ms = Math.max(1, Math.min(this.#config.requestTimeoutMs, deadline - performance.now()))
    const send = () => this.#sendWithin(ms, client, command)
    return requestChannel.hasSubscribers ? this.#publish(command, context, send) : send()
  }

  #sendWithin(ms: number, client: UntypedClient, command: Command): Promise<unknown> {
    if (this.#config.clientHasTimeout) return answerWithin(ms, client.send(command), timeoutError)
    const controller = new AbortController()
    const output = client.send(command, { abortSignal: controller.signal })
    return answerWithin(ms, output, () => {
      controller.abort()
      return timeoutError()
    })
  }

  /** Sends the request and publishes what it consumed. */
  async #publish(command: Command, { operation }: RequestContext, send: () => Promise<unknown>) {
    const request = command.constructor.name.replace(/Command$/, '')
    const event = { table: this.target.table, operation, request }
    const startedAt = performance.now()
    Object.assign(command.input, { ReturnConsumedCapacity: 'TOTAL' })
    try {
      const output = (await send()) as CommandOutput
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
    return translate(error, { ...this.target, region }, operation, key)
  }

  /** The region the client has resolved, for error messages only: a failure or a long wait gives `undefined`. */
  async #resolvedRegion(): Promise<string | undefined> {
    const resolve = async () => this.#client?.config?.region()
    return answerWithin(regionTimeoutMs, resolve(), timeoutError).catch(() => undefined)
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

function timeoutError(): Error {
  return new DeadlineError()
}
