import type { KeysAndAttributes, WriteRequest } from '@aws-sdk/client-dynamodb'
import { CacheError } from '@stowage/core'
import type { Item } from '../attributes.ts'
import { BatchOutcomes } from '../batch-outcomes.ts'
import { capacityRemedy } from '../dynamodb-errors.ts'
import type { RequestContext, RequestSender } from './request-sender.ts'
import { minRequestMs } from './retry-budget.ts'

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxGetKeys = 100
const maxWriteItems = 25
/** Chunks of one batch in flight at the same time; more would only be throttled. */
const maxConcurrentChunks = 8

export interface BatchGetOptions {
  readonly operation: string
  /** Whether a key must be read strongly consistent. */
  readonly isStrong: (key: string) => boolean
  /** The attributes to read. @default all */
  readonly projection?: Pick<KeysAndAttributes, 'ProjectionExpression' | 'ExpressionAttributeNames'>
}

/** A write of a batch. */
export interface BatchWrite {
  readonly key: string
  readonly request: WriteRequest
}

/** Sends one chunk of a batch. Returns the keys that the server did not process. */
type SendChunk = (keys: readonly string[], context: RequestContext) => Promise<readonly string[]>

interface Chunk {
  readonly keys: readonly string[]
  readonly send: SendChunk
}

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

  /** Reads the items that exist. Repeated keys are sent once: the server rejects duplicates. */
  async get(keys: readonly string[], options: BatchGetOptions): Promise<BatchOutcomes<Item>> {
    const found = new BatchOutcomes<Item>()
    const strong: string[] = []
    const eventual: string[] = []
    // The consistency applies to a whole request, and a strong read costs twice as much.
    for (const key of new Set(keys)) (options.isStrong(key) ? strong : eventual).push(key)
    const toChunks = (chunkKeys: readonly string[], isStrong: boolean) =>
      chunksOf(chunkKeys, maxGetKeys, (chunk, context) =>
        this.#getChunk(chunk, isStrong, options, context, found),
      )
    const chunks = [...toChunks(strong, true), ...toChunks(eventual, false)]
    await this.#sendAll(chunks, options.operation, found)
    return found
  }

  /** Sends the writes in any order; no two may have the same key. */
  async write(writes: readonly BatchWrite[], operation: string): Promise<BatchOutcomes> {
    const outcomes = new BatchOutcomes()
    const requests = new Map(writes.map(({ key, request }) => [key, request]))
    const send: SendChunk = async (keys, context) => {
      const chunk = keys.map((key) => requests.get(key) as WriteRequest)
      const input = { RequestItems: { [this.#table]: chunk } }
      const output = await this.#sender.send('BatchWriteItem', input, context)
      const unprocessed = output.UnprocessedItems?.[this.#table] ?? []
      return unprocessed.map((request) => this.#keyOf(request))
    }
    const chunks = chunksOf([...requests.keys()], maxWriteItems, send)
    await this.#sendAll(chunks, operation, outcomes)
    return outcomes
  }

  #keyOf({ PutRequest, DeleteRequest }: WriteRequest): string {
    return (PutRequest?.Item ?? DeleteRequest?.Key)?.[this.#keyName]?.S as string
  }

  async #getChunk(
    keys: readonly string[],
    isStrong: boolean,
    { projection }: BatchGetOptions,
    context: RequestContext,
    found: BatchOutcomes<Item>,
  ): Promise<readonly string[]> {
    const output = await this.#sender.send(
      'BatchGetItem',
      {
        RequestItems: {
          [this.#table]: {
            Keys: keys.map((key) => ({ [this.#keyName]: { S: key } })),
            ConsistentRead: isStrong,
            ...projection,
          },
        },
      },
      context,
    )
    for (const item of output.Responses?.[this.#table] ?? []) {
      found.succeeded(item[this.#keyName]?.S as string, item)
    }
    const unprocessed = output.UnprocessedKeys?.[this.#table]?.Keys ?? []
    return unprocessed.map((key) => key[this.#keyName]?.S as string)
  }

  /** Sends the chunks, some at a time. After an error that concerns every request, the rest is not sent. */
  async #sendAll(
    chunks: readonly Chunk[],
    operation: string,
    outcomes: Pick<BatchOutcomes, 'failed' | 'fatal'>,
  ): Promise<void> {
    let fatal: CacheError | undefined
    const queue = chunks.values()
    const sendQueued = async () => {
      for (const chunk of queue) {
        if (fatal !== undefined) outcomes.failed(chunk.keys, fatal)
        else await this.#sendChunk(chunk, operation, outcomes)
        fatal ??= outcomes.fatal
      }
    }
    // Also after a failure, chunks in flight are waited for: nothing happens after the call has settled.
    const workers = Math.min(chunks.length, maxConcurrentChunks)
    await Promise.all(Array.from({ length: workers }, sendQueued))
  }

  /** Sends a chunk, and then what is unprocessed, until the deadline. */
  async #sendChunk(
    { keys, send }: Chunk,
    operation: string,
    outcomes: Pick<BatchOutcomes, 'failed' | 'fatal'>,
  ): Promise<void> {
    const { timeoutMs, retries } = this.#sender
    const deadline = performance.now() + timeoutMs
    let unprocessed = keys
    for (let failures = 1; ; failures++) {
      const before = unprocessed.length
      try {
        unprocessed = await send(unprocessed, { operation, deadline, keyCount: before })
      } catch (error) {
        // After unprocessed items, a timeout at the deadline is only their consequence. A request that waits for its turn
        // gives up `minRequestMs` before it, and a timer may be early.
        const isLate = unprocessed !== keys && performance.now() >= deadline - 2 * minRequestMs
        const cause = isLate ? unprocessedError(before, timeoutMs, operation, error) : error
        return outcomes.failed(unprocessed, cause as CacheError)
      }
      if (unprocessed.length === 0) return
      const isProgress = unprocessed.length < before
      if (isProgress) failures = 0
      const mayRetry = isProgress
        ? await retries.waitForRest(deadline)
        : await retries.wait(failures, deadline)
      if (mayRetry) continue
      const error = unprocessedError(unprocessed.length, timeoutMs, operation)
      return outcomes.failed(unprocessed, error)
    }
  }
}

function chunksOf(keys: readonly string[], size: number, send: SendChunk): Chunk[] {
  return Array.from({ length: Math.ceil(keys.length / size) }, (_, index) => ({
    keys: keys.slice(index * size, (index + 1) * size),
    send,
  }))
}

function unprocessedError(
  count: number,
  timeoutMs: number,
  operation: string,
  cause?: unknown,
): CacheError {
  return new CacheError(
    'ERR_CACHE_REJECTED',
    `dynamodb ${operation} failed: ${count} items of a batch were still unprocessed at the deadline (${timeoutMs} ms), or when no retries were left. ${capacityRemedy}`,
    { store: 'dynamodb', operation, retryable: true, cause },
  )
}
