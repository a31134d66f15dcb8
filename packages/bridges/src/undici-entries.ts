import { createHash, randomUUID } from 'node:crypto'

type Headers = Record<string, string | string[]>

/** What identifies a request. */
export interface RequestKey {
  readonly origin: string
  readonly method: string
  readonly path: string
  readonly headers?: Headers
}

/** A response without its body. The last three are in epoch milliseconds. */
export interface ResponseHead {
  statusCode: number
  statusMessage: string
  headers: Headers
  /** The request headers that have selected the response. `null` for one that was absent. */
  vary?: Record<string, string | string[] | null>
  etag?: string
  cacheControlDirectives?: object
  cachedAt: number
  staleAt: number
  deleteAt: number
}

/** The responses of a URL. Without it, none of them is found. */
export interface Variants {
  /** Part of their keys. A URL that was deleted gets another one. */
  readonly id: string
  /** The names of the headers in each `Vary` of a response. */
  readonly varies: readonly (readonly string[])[]
  /** When the last one is deleted, in epoch milliseconds. */
  readonly until: number
}

export interface StoredResponse extends ResponseHead {
  cacheControlDirectives: object
  body: Buffer
}

/** The key of what is known of a URL. */
export function variantsKey({ origin, path }: RequestKey): string {
  return `url:${digest([origin, path])}`
}

/** The key of a response. @param values of the request headers, or of those that have selected a response */
export function responseKey(
  id: string,
  { method }: RequestKey,
  names: readonly string[],
  values: Readonly<Record<string, string | string[] | null>> = {},
): string {
  return `response:${id}:${digest([method, ...names.map((name) => [name, values[name] ?? null])])}`
}

/** Paths are longer than many backends permit, and may contain what must not be shown. */
function digest(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}

/** The names of the headers that a response varies by. */
export function namesOf(vary: ResponseHead['vary'] = {}): string[] {
  return Object.keys(vary).sort()
}

/** Whether responses of a URL are known to vary by these headers. */
export function includes({ varies }: Variants, names: readonly string[]): boolean {
  return varies.some((known) => known.join() === names.join())
}

/** What is known of a URL, and of a further response. */
export function extended(
  current: Variants | undefined,
  names: string[],
  deleteAt: number,
): Variants {
  if (current === undefined) return { id: randomUUID(), varies: [names], until: deleteAt }
  const varies = includes(current, names) ? current.varies : [...current.varies, names]
  return { ...current, varies, until: Math.max(current.until, deleteAt) }
}

/** A line of JSON, and the body as it is. */
export function encode(head: ResponseHead, chunks: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...chunks])
}

/** The opposite of {@link encode}. */
export function decode(item: Buffer): StoredResponse {
  const bytes = Buffer.from(item.buffer, item.byteOffset, item.byteLength)
  const end = bytes.indexOf('\n')
  return { ...JSON.parse(bytes.toString('utf8', 0, end)), body: bytes.subarray(end + 1) }
}
