import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * One request, on `node:diagnostics_channel`. While somebody listens, DynamoDB is asked to tell what each request has
 * consumed; otherwise it costs one check.
 */
export interface RequestEvent {
  readonly table: string
  /** Method of the contract that sent it. */
  readonly operation: string
  /** What DynamoDB calls the request, such as `BatchGetItem`. */
  readonly request: string
  /** Consumed read capacity units: 1 for 4 KB strongly consistent, half of it otherwise. */
  readonly readUnits: number
  /** Consumed write capacity units: 1 for 1 KB. */
  readonly writeUnits: number
  /** How long it took, in milliseconds. */
  readonly durationMs: number
  /** Whether it was refused, wholly or in part, for lack of capacity. */
  readonly throttled: boolean
  /** Why it failed, if it did. A condition that did not hold is no failure of the store, but it is one of the request. */
  readonly error?: unknown
}

/** Each request that was sent, also one that is sent again. @see RequestEvent */
export const requestChannel: Channel = channel('stowage:dynamodb:request')

/** What the requests to a table have cost. */
export interface Consumption {
  readonly requests: number
  readonly throttled: number
  readonly readUnits: number
  readonly writeUnits: number
}

const nothing: Consumption = { requests: 0, throttled: 0, readUnits: 0, writeUnits: 0 }

/** Sums up, by table, what the requests of this process consume from now on, until it is closed. */
export class ConsumptionMeter {
  readonly #tables = new Map<string, Consumption>()
  readonly #listener = (event: unknown): void => this.#count(event as RequestEvent)

  constructor() {
    requestChannel.subscribe(this.#listener)
  }

  of(table: string): Consumption {
    return this.#tables.get(table) ?? nothing
  }

  close(): void {
    requestChannel.unsubscribe(this.#listener)
  }

  #count({ table, throttled, readUnits, writeUnits }: RequestEvent): void {
    const sum = this.of(table)
    this.#tables.set(table, {
      requests: sum.requests + 1,
      throttled: sum.throttled + (throttled ? 1 : 0),
      readUnits: sum.readUnits + readUnits,
      writeUnits: sum.writeUnits + writeUnits,
    })
  }
}
