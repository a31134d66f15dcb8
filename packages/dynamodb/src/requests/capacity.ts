import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * A request that was sent, retries included. Requests set `ReturnConsumedCapacity` only while the channel has
 * subscribers. Without subscribers it costs a single check.
 */
export interface RequestEvent {
  readonly table: string
  /** The store method that sent it. */
  readonly operation: string
  /** The DynamoDB API action, for example `BatchGetItem`. */
  readonly request: string
  /** Consumed read capacity units: 1 per 4 KB if strongly consistent, otherwise half. */
  readonly readUnits: number
  /** Consumed write capacity units: 1 per 1 KB. */
  readonly writeUnits: number
  /** Duration in milliseconds. */
  readonly durationMs: number
  /** Whether the request, or a part of its items, was rejected for lack of capacity. */
  readonly throttled: boolean
  /** Why the request failed. Also set for a condition that failed, where the store method does not fail. */
  readonly error?: unknown
}

/**
 * Publishes a {@link RequestEvent} for every request, as `stowage:dynamodb:request` of `node:diagnostics_channel`.
 *
 * @example
 * const log = (event: unknown) => console.log(event)
 * requestChannel.subscribe(log)
 * await dynamodb({ table: 'cache' }).ping()
 * requestChannel.unsubscribe(log)
 */
export const requestChannel: Channel = channel('stowage:dynamodb:request')

/** What the requests to a table have consumed. */
export interface Consumption {
  readonly requests: number
  /** How many of the requests were throttled. */
  readonly throttled: number
  readonly readUnits: number
  readonly writeUnits: number
}

const noConsumption: Consumption = { requests: 0, throttled: 0, readUnits: 0, writeUnits: 0 }

/**
 * Adds up, per table, what the requests of this process consume from its creation until `close()`.
 *
 * @example
 * const meter = new ConsumptionMeter()
 * await dynamodb({ table: 'cache' }).set('k', 'v')
 * console.log(meter.of('cache').writeUnits)
 * meter.close()
 */
export class ConsumptionMeter {
  readonly #byTable = new Map<string, Consumption>()
  readonly #listener = (event: unknown): void => this.#add(event as RequestEvent)

  constructor() {
    requestChannel.subscribe(this.#listener)
  }

  /** The consumption of a table so far. */
  of(table: string): Consumption {
    return this.#byTable.get(table) ?? noConsumption
  }

  /** Stops counting. */
  close(): void {
    requestChannel.unsubscribe(this.#listener)
  }

  #add({ table, throttled, readUnits, writeUnits }: RequestEvent): void {
    const sum = this.of(table)
    this.#byTable.set(table, {
      requests: sum.requests + 1,
      throttled: sum.throttled + (throttled ? 1 : 0),
      readUnits: sum.readUnits + readUnits,
      writeUnits: sum.writeUnits + writeUnits,
    })
  }
}
