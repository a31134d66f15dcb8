import {
  BatchGetItemCommand,
  type BatchGetItemOutput,
  BatchWriteItemCommand,
  type BatchWriteItemOutput,
  type KeysAndAttributes,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { CacheError } from '@stowage/core'
import type { Item } from '../attributes.ts'
import { isThrottling } from '../dynamodb-errors.ts'
import type { Call, Requests } from './request-sender.ts'
import { backOff } from './retry-delay.ts'

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const keysPerGet = 100
const itemsPerWrite = 25
/** How many parts of a batch are under way at a time; more would only be throttled. */
const partsAtOnce = 8

export interface GetBatch {
  readonly operation: string
  /** Whether the part of these keys must be read strongly consistent. */
  readonly isStrong: (keys: readonly string[]) => boolean
  /** Attributes to read instead of all. */
  readonly only?: Pick<KeysAndAttributes, 'ProjectionExpression' | 'ExpressionAttributeNames'>
}

/** Sends a part of a batch; returns what the server has left undone. */
type SendPart<T> = (part: readonly T[], call: Call) => Promise<readonly T[]>

/** Batches of any size: split into parts, and sent again as long as the server leaves something of one undone. */
export class Batches {
  readonly #requests: Requests
  readonly #table: string
  readonly #keyName: string

  constructor(requests: Requests, keyName: string) {
    this.#requests = requests
    this.#table = requests.target.table
    this.#keyName = keyName
  }

  /** The items that are there, by key. A key may be given twice, which the server would refuse. */
  async get(keys: readonly string[], batch: GetBatch): Promise<Map<string, Item>> {
    const found = new Map<string, Item>()
    await this.#inParts([...new Set(keys)], keysPerGet, batch.operation, async (part, call) => {
      const { answer, left } = await this.#getPart(part, batch, call)
      for (const item of answer) found.set(item[this.#keyName]?.S ?? '', item)
      return left
    })
    return found
  }

  /** Carries out the writes, no two of one key. In no order; where it fails, any may have been carried out. */
  write(writes: readonly WriteRequest[], operation: string): Promise<void> {
    return this.#inParts(writes, itemsPerWrite, operation, async (part, call) => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#table]: [...part] } })
      const reply = await this.#requests.send<BatchWriteItemOutput>(command, call)
      return reply.UnprocessedItems?.[this.#table] ?? []
    })
  }

  async #getPart(keys: readonly string[], { isStrong, only }: GetBatch, call: Call) {
    const command = new BatchGetItemCommand({
      RequestItems: {
        [this.#table]: {
          Keys: keys.map((key) => ({ [this.#keyName]: { S: key } })),
          ConsistentRead: isStrong(keys),
          ...only,
        },
      },
    })
    const reply = await this.#requests.send<BatchGetItemOutput>(command, call)
    const left = reply.UnprocessedKeys?.[this.#table]?.Keys ?? []
    return {
      answer: reply.Responses?.[this.#table] ?? [],
      left: left.map((each) => each[this.#keyName]?.S ?? ''),
    }
  }

  async #inParts<T>(
    all: readonly T[],
    size: number,
    operation: string,
    send: SendPart<T>,
  ): Promise<void> {
    const parts = Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
      all.slice(index * size, (index + 1) * size),
    )
    if (parts.length === 1 && parts[0]) return this.#untilDone(parts[0], operation, send)
    const failures: unknown[] = []
    const queue = parts.values()
    const work = async () => {
      for (const part of queue) {
        if (failures.length > 0) return
        await this.#untilDone(part, operation, send).catch((error) => failures.push(error))
      }
    }
    // Nothing is left to happen when the call has failed.
    await Promise.all(Array.from({ length: Math.min(parts.length, partsAtOnce) }, work))
    if (failures.length > 0) throw failures[0]
  }

  /** Sends what is left until nothing is, or the time is over. Being throttled leaves all of it. */
  async #untilDone<T>(part: readonly T[], operation: string, send: SendPart<T>): Promise<void> {
    const { timeoutMs } = this.#requests
    const deadline = performance.now() + timeoutMs
    let left = part
    for (let failures = 1; ; failures++) {
      const before = left.length
      let cause: unknown
      try {
        left = await send(left, { operation, deadline })
      } catch (error) {
        cause = error
        // A request cut short by the end of the time is not what went wrong, where the server had refused before.
        const isLate = failures > 1 && performance.now() >= deadline
        if (!isThrottling((error as Error).cause) && !isLate) throw error
      }
      if (left.length === 0) return
      // A reply has 16 MB at most: what is left for that reason need not wait long.
      if (left.length < before) failures = 1
      if (!(await backOff(failures, deadline)))
        throw unfinished(left.length, timeoutMs, operation, cause)
    }
  }
}

function unfinished(
  left: number,
  timeoutMs: number,
  operation: string,
  cause: unknown,
): CacheError {
  return new CacheError(
    'ERR_CACHE_REJECTED',
    `dynamodb ${operation} failed: ${left} items of a part of the batch were left undone within ${timeoutMs} ms. The ` +
      'table, or one partition of it, is asked for more than its capacity: use on-demand billing, or raise the ' +
      'provisioned units.',
    { store: 'dynamodb', operation, retryable: true, cause },
  )
}
