import type { LoadContext } from '@stowage/core'
import type { Sender } from '../exchange/sender.ts'
import type { ResolvedOptions } from '../options.ts'
import {
  createFillId,
  encodeRecord,
  type ResponseRecord,
  type StoredItem,
  type VaryRecord,
} from '../storage/record.ts'
import { type RequestHeaders, type ResponseStore, variantKey } from '../storage/response-store.ts'
import { keptMs, maxInlineBytes } from './build-record.ts'
import type { KnownResponses } from './known-responses.ts'

/** How long the record of `Vary` is kept at least, in milliseconds. */
const minVaryMs = 86_400_000

export interface FillScope extends Pick<KnownResponses, 'variants' | 'unstored'> {
  readonly options: ResolvedOptions
  readonly store: ResponseStore
  readonly sender: Sender
}

/** Where the response of a fill is stored. */
export interface FillTarget {
  /** The key of the URL, under which the record of `Vary` is if there is one. */
  readonly baseKey: string
  /** The key that is filled: the same, or that of a variant. */
  readonly key: string
  /** Set if the key is that of a variant. */
  readonly vary: VaryRecord | undefined
}

export type Context = LoadContext<Buffer>
/** A response with its body. */
export type CompleteResponse = StoredItem<ResponseRecord> & { readonly body: Buffer }

/** A response that may be stored. */
export interface Storing {
  readonly context: Context
  readonly target: FillTarget
  /** Of the request. */
  readonly headers: RequestHeaders
  readonly stored: CompleteResponse
  /** The request headers that the response depends on. */
  readonly names: readonly string[]
  /** Tags that became known while it was rendered. */
  readonly tags: readonly string[]
}

/**
 * Returns what is stored under the key of a fill: the response, or a record of its `Vary`, beside which it is stored.
 * `undefined` if it is not stored.
 */
export async function storeResponse(
  scope: FillScope,
  storing: Storing,
): Promise<Buffer | undefined> {
  const { context, target, stored, names, tags } = storing
  const { variants, options } = scope
  const { vary, key, baseKey } = target
  const now = options.cache.clock.now()
  if (vary === undefined) {
    return names.length === 0
      ? encodeStored(context, stored, tags, now)
      : storeVariant(scope, storing, variants.union(baseKey, names))
  }
  if (!variants.cover(baseKey, vary, names)) {
    // The response depends on more headers than the record says: the next request stores a new record.
    await options.cache.delete(baseKey)
    return skip(context)
  }
  const { keepUntil } = stored.record
  if (!variants.admit(vary.fill, key, options.maxVariants, { now, keepUntil })) return skip(context)
  return encodeStored(context, stored, tags, now)
}

/** Stores the first variant, and returns the record of the headers that variants depend on. */
async function storeVariant(
  { options, variants }: FillScope,
  { context, target: { baseKey }, headers, stored, tags }: Storing,
  names: readonly string[],
): Promise<Buffer> {
  const vary: VaryRecord = { kind: 'vary', fill: createFillId(), names }
  const key = variantKey(baseKey, vary, headers)
  const now = options.cache.clock.now()
  const { keepUntil } = stored.record
  variants.admit(vary.fill, key, options.maxVariants, { now, keepUntil })
  // `encodeStored` replaces the ttl by that of the response.
  await options.cache.remember<Buffer>(key, { lease: false, ttl: '1ms' }, (inner: Context) =>
    encodeStored(inner, stored, [], now),
  )
  // The tags of the record are those that were read before the handler ran.
  context.addTags(...tags)
  context.setTtl(Math.max(minVaryMs, keptMs(stored.record.freshness, {})))
  return encodeRecord(vary)
}

function skip(context: Context): undefined {
  context.skip({ share: false })
  return undefined
}

/** Requests what is stored with a response, and returns its item. Bodies that are large are stored beside it. */
function encodeStored(
  context: Context,
  { record, body }: CompleteResponse,
  tags: readonly string[],
  now: number,
): Buffer {
  context.setTtl(Math.max(1, record.keepUntil - now))
  context.addTags(...tags)
  // Gives the entry an id, so that a refresh need not store it again first.
  context.setValidators({ etag: record.fill })
  if (body.byteLength <= maxInlineBytes) return encodeRecord(record, body)
  const bodyKey = context.addPart('body', body)
  return encodeRecord({ ...record, bodyKey })
}
