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
import { capacityRemedy, isThrottling } from '../dynamodb-errors.ts'
import type { RequestContext, RequestSender } from './request-sender.ts'
import { waitBeforeRetry } from './retry-delay.ts'

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxGetKeys = 100
const maxWriteItems = 25
/** Chunks of one batch in flight at the same time; more would only be throttled. */
const maxConcurrentChunks = 8

export interface BatchGetOptions {
  readonly operation: string
  /** Whether a chunk with these keys must be read strongly consistent. */
  readonly isStrong: (keys: readonly string[]) => boolean
  /** The attributes to read. @default all */
  readonly projection?: Pick<KeysAndAttributes, 'ProjectionExpression' | 'ExpressionAttributeNames'>
}

/** Sends one chunk of a batch. Returns what the server did not process. */
type SendChunk<T> = (chunk: readonly T[], context: RequestContext) => Promise<readonly T[]>

/** Batches of any size: split into chunks, each retried until the server has processed all of it. */
export class BatchRequests {
  readonly #sender: RequestSender
  readonly #table: string
  readonly #keyName: string

  constructor(sender: RequestSender, keyName: string) {
    this.#sender = sender
    this.#table = sender.target.table
    this.#keyName = keyName
  }

  /** The existing items by key. Repeated keys are sent once: the server rejects duplicates. */
  async get(keys: readonly string[], options: BatchGetOptions): Promise<Map<string, Item>> {
    const found = new Map<string, Item>()
    const { operation } = options
    await this.#sendInChunks([...new Set(keys)], maxGetKeys, operation, async (chunk, context) => {
      const { items, unprocessed } = await this.#getChunk(chunk, options, context)
      for (const item of items) found.set(item[this.#keyName]?.S ?? '', item)
      return unprocessed
    })
    return found
  }

  /** Sends the writes in any order; no two may have the same key. If it fails, some of them may have been carried out. */
  write(writes: readonly WriteRequest[], operation: string): Promise<void> {
    return this.#sendInChunks(writes, maxWriteItems, operation, async (chunk, context) => {
      const command = new BatchWriteItemCommand({ RequestItems: { [this.#table]: [...chunk] } })
      const output = await this.#sender.send<BatchWriteItemOutput>(command, context)
      return output.UnprocessedItems?.[this.#table] ?? []
    })
  }

  async #getChunk(
    keys: readonly string[],
    { isStrong, projection }: BatchGetOptions,
    context: RequestContext,
  ) {
    const command = new BatchGetItemCommand({
      RequestItems: {
        [this.#table]: {
          Keys: keys.map((key) => ({ [this.#keyName]: { S: key } })),
          ConsistentRead: isStrong(keys),
          ...projection,
        },
      },
    })
    const output = await this.#sender.send<BatchGetItemOutput>(command, context)
    const unprocessed = output.UnprocessedKeys?.[this.#table]?.Keys ?? []
    return {
      items: output.Responses?.[this.#table] ?? [],
      unprocessed: unprocessed.map((key) => key[this.#keyName]?.S ?? ''),
    }
  }

  async #sendInChunks<T>(
    all: readonly T[],
    chunkSize: number,
    operation: string,
    send: SendChunk<T>,
  ): Promise<void> {
    const chunks = Array.from({ length: Math.ceil(all.length / chunkSize) }, (_, index) =>
      all.slice(index * chunkSize, (index + 1) * chunkSize),
    )
    if (chunks.length === 1 && chunks[0]) return this.#sendChunk(chunks[0], operation, send)
    const errors: unknown[] = []
    const queue = chunks.values()
    const sendQueued = async () => {
      for (const chunk of queue) {
        if (errors.length > 0) return
        await this.#sendChunk(chunk, operation, send).catch((error) => errors.push(error))
      }
    }
    // Also after a failure, chunks in flight are waited for: nothing happens after the call has settled.
    const workers = Math.min(chunks.length, maxConcurrentChunks)
    await Promise.all(Array.from({ length: workers }, sendQueued))
    if (errors.length > 0) throw errors[0]
  }

  /** Sends a chunk, and then what is unprocessed, until the deadline. A throttled request leaves all of it unprocessed. */
  async #sendChunk<T>(chunk: readonly T[], operation: string, send: SendChunk<T>): Promise<void> {
    const { timeoutMs } = this.#sender
    const deadline = performance.now() + timeoutMs
    let unprocessed = chunk
    for (let failures = 1; ; failures++) {
      const before = unprocessed.length
      let cause: unknown
      try {
        unprocessed = await send(unprocessed, { operation, deadline })
      } catch (error) {
        cause = error
        // After earlier throttling, a timeout at the deadline is only its consequence.
        const isLate = failures > 1 && performance.now() >= deadline
        if (!isThrottling((error as Error).cause) && !isLate) throw error
      }
      if (unprocessed.length === 0) return
      // A reply has at most 16 MB: items left out for their size need no long delay.
      if (unprocessed.length < before) failures = 1
      if (!(await waitBeforeRetry(failures, deadline)))
        throw unprocessedError(unprocessed.length, timeoutMs, operation, cause)
    }
  }
}

function unprocessedError(
  count: number,
  timeoutMs: number,
  operation: string,
  cause: unknown,
): CacheError {
  return new CacheError(
    'ERR_CACHE_REJECTED',
    `dynamodb ${operation} failed: ${count} items of a batch were still unprocessed after ${timeoutMs} ms. ${capacityRemedy}`,
    { store: 'dynamodb', operation, retryable: true, cause },
  )
}
