/**
 * What is stored under a key. `'mark'` is a note of the cache itself that reads as a miss: a load in progress or a failed
 * one, or a change of the source. `'invalid'` is an entry with an invalidated tag, `'foreign'` a payload that the codec cannot decode.
 */
export type InspectedState = 'missing' | 'fresh' | 'stale' | 'invalid' | 'mark' | 'foreign'

/** How a payload is stored: as plain text, or in one of the frames of Stowage. */
export type PayloadFrame =
  | 'text'
  | 'entry'
  | 'mark'
  | 'compressed'
  | 'encrypted'
  | 'reference'
  | 'unknown'

/** What the store holds under a key. It does not contain the value. */
export interface Inspection {
  /** The key in the store, as far as the cache knows it. */
  readonly storageKey: string
  readonly state: InspectedState
  /** The server or table, if the driver can tell. */
  readonly location: string | undefined
  /** The remaining ttl in milliseconds, `Infinity` for never; `undefined` for a miss, and if it is not known. */
  readonly ttlMs: number | undefined
  /** Size of the payload; `undefined` for a miss, and for values that are stored by reference. */
  readonly bytes: number | undefined
  readonly frame: PayloadFrame | undefined
  /** The tags of the entry, and whether each has been invalidated since. */
  readonly tags: readonly { readonly name: string; readonly isCurrent: boolean }[]
  /** Until when the value is fresh, in epoch milliseconds of the backend's clock. */
  readonly freshUntil: number | undefined
  readonly etag: string | undefined
}
