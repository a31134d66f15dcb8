import type { ConsumedCapacity } from '@aws-sdk/client-dynamodb'
import { answerWithin, DeadlineError, Lifecycle } from '@stowage/core/driver'
import {
  isRefusal,
  isThrottling,
  isTransient,
  isUncertain,
  type Target,
  translate,
  withoutResponse,
} from '../dynamodb-errors.ts'
import type { DynamoDBClient } from '../dynamodb-options.ts'
import { requestChannel } from './capacity.ts'
import { backOff } from './retry-delay.ts'

const attempts = 3
const regionMs = 100

/** A request as the SDK takes it. */
export interface Command {
  readonly input: object
}

/** On whose behalf a request is sent. */
export interface Call {
  readonly operation: string
  readonly key?: string | undefined
  /** Whether to send it again when it is not known whether it was carried out. @default true */
  readonly repeatable?: boolean
  /** When it must be over, by `performance.now()`. @default `timeoutMs` from now */
  readonly deadline?: number
  /** Set once an attempt may have been carried out without our knowing. */
  uncertain?: boolean
}

export interface RequestsConfig {
  readonly target: Target
  readonly timeoutMs: number
  readonly requestTimeoutMs: number
  /**
   * Whether the client gives up a request by itself after `requestTimeoutMs`. It must be told for every request
   * otherwise, which costs it a quarter of its speed: what it keeps for a kind of request holds without options only.
   */
  readonly isTimed: boolean
  /** Makes the client when it is first needed. */
  readonly client: () => DynamoDBClient
  /** What has to be done before the first request, if anything. */
  readonly prepare?: (requests: Requests) => Promise<void>
  /** Releases the client; nothing where it belongs to somebody else. */
  readonly release: () => void
}

/** A client, told of no kinds of request: those who send one know what it answers. */
interface Sender {
  send(command: Command, options?: { abortSignal: AbortSignal }): Promise<unknown>
}

/** What answers have in common, as far as it is used here. */
interface Answer {
  readonly ConsumedCapacity?: ConsumedCapacity | ConsumedCapacity[]
  readonly UnprocessedKeys?: object
  readonly UnprocessedItems?: object
}

/**
 * Sends requests, each with a deadline of ours: that of the SDK does not cover credentials and the wait for a socket.
 * Attempts are counted here too, as the SDK would repeat what must not be carried out twice, and would wait a second
 * and more after throttling.
 */
export class Requests {
  readonly target: Target
  readonly timeoutMs: number
  readonly #config: RequestsConfig
  readonly #lifecycle = new Lifecycle('dynamodb')
  #client: DynamoDBClient | undefined
  #prepared: Promise<void> | undefined

  constructor(config: RequestsConfig) {
    this.target = config.target
    this.timeoutMs = config.timeoutMs
    this.#config = config
  }

  assertOpen(operation: string): void {
    this.#lifecycle.assertOpen(operation)
  }

  /** Runs a call of the contract, which `close()` waits for. @throws CacheError */
  run<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const { prepare } = this.#config
    if (prepare === undefined) return this.#lifecycle.run(operation, work)
    return this.#lifecycle.run(operation, async () => {
      await this.#ready(prepare)
      return work()
    })
  }

  /**
   * Sends a request, again after a short pause while that may help and the call's time is not over.
   * @throws CacheError, or the SDK's exception where a condition did not hold
   */
  async send<Output>(command: Command, call: Call): Promise<Output> {
    const { deadline = performance.now() + this.timeoutMs } = call
    for (let failures = 1; ; failures++) {
      try {
        return (await this.#attempt(command, call, deadline)) as Output
      } catch (error) {
        const again = failures < attempts && isTransient(error) && this.#mayRepeat(error, call)
        if (!again || !(await backOff(failures, deadline))) throw await this.#failure(error, call)
      }
    }
  }

  /** Waits for what is under way, then releases the client. Idempotent. */
  close(): Promise<void> {
    return this.#lifecycle.close(this.#config.release)
  }

  #ready(prepare: (requests: Requests) => Promise<void>): Promise<void> {
    // What failed is tried again by the next call.
    this.#prepared ??= prepare(this).catch((error: unknown) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  #mayRepeat(error: unknown, call: Call): boolean {
    if (!isUncertain(error)) return true
    call.uncertain = true
    return call.repeatable !== false
  }

  async #attempt(command: Command, call: Call, deadline: number): Promise<unknown> {
    this.#client ??= this.#config.client()
    const client = this.#client as unknown as Sender
    const ms = Math.max(1, Math.min(this.#config.requestTimeoutMs, deadline - performance.now()))
    const send = () => this.#sendInTime(client, command, ms)
    return requestChannel.hasSubscribers ? this.#measured(command, call, send) : send()
  }

  #sendInTime(client: Sender, command: Command, ms: number): Promise<unknown> {
    if (this.#config.isTimed) return answerWithin(ms, client.send(command), timeoutError)
    const controller = new AbortController()
    const answer = client.send(command, { abortSignal: controller.signal })
    return answerWithin(ms, answer, () => {
      controller.abort()
      return timeoutError()
    })
  }

  async #measured(command: Command, { operation }: Call, send: () => Promise<unknown>) {
    const request = command.constructor.name.replace(/Command$/, '')
    const event = { table: this.target.table, operation, request }
    const startedAt = performance.now()
    Object.assign(command.input, { ReturnConsumedCapacity: 'TOTAL' })
    try {
      const answer = (await send()) as Answer
      requestChannel.publish({ ...event, ...costOf(answer, request), ...since(startedAt) })
      return answer
    } catch (error) {
      const cost = { readUnits: 0, writeUnits: 0, throttled: isThrottling(error) }
      requestChannel.publish({
        ...event,
        ...cost,
        ...since(startedAt),
        error: withoutResponse(error as Error),
      })
      throw error
    }
  }

  async #failure(error: unknown, { operation, key }: Call): Promise<unknown> {
    if (isRefusal(error)) return error
    const region = (await this.#regionOf(this.#client)) ?? this.target.region
    return translate(error, { ...this.target, region }, operation, key)
  }

  /** The region as the client has found it, for messages: nothing to wait for, or to fail with. */
  async #regionOf(client: DynamoDBClient | undefined): Promise<string | undefined> {
    const find = async () => client?.config?.region()
    return answerWithin(regionMs, find(), timeoutError).catch(() => undefined)
  }
}

function costOf({ ConsumedCapacity: consumed, ...answer }: Answer, request: string) {
  const units = (Array.isArray(consumed) ? consumed : [consumed]).reduce(
    (sum, each) => sum + (each?.CapacityUnits ?? 0),
    0,
  )
  const isRead = /Get|Scan/.test(request)
  const left = { ...answer.UnprocessedKeys, ...answer.UnprocessedItems }
  return {
    readUnits: isRead ? units : 0,
    writeUnits: isRead ? 0 : units,
    throttled: Object.keys(left).length > 0,
  }
}

function since(startedAt: number) {
  return { durationMs: performance.now() - startedAt }
}

function timeoutError(): Error {
  return new DeadlineError()
}
