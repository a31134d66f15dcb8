/** Metadata that a codec stores with a value. Only entries with tags or a stale window have any. */
export interface EntryFacts {
  /**
   * Makes the item differ from every other one, so that a compare-and-set notices if it was deleted meanwhile and the same
   * value stored again. Entries with `freshUntil`
   * have none until a refresh is requested.
   */
  readonly id?: string
  /** Whether a refresh has stored the value again to give it an id: it is not newer than before. */
  readonly isRewritten?: boolean
  /** Until when the value is fresh, in epoch milliseconds of the backend's clock. */
  readonly freshUntil?: number
  /** When the item expires in the backend, in the same time. */
  readonly expiresAt?: number
  /** The versions of the tags, by name, as read before the value was loaded. */
  readonly tags?: Readonly<Record<string, string>>
  /** The keys of the values that were stored beside this one. */
  readonly parts?: readonly string[]
  /** The validators of the source of the value. See RFC 9110 section 8.8. */
  readonly etag?: string
  readonly lastModified?: string
}

/** A value with its metadata, as the cache passes it to the codec. */
export interface Entry {
  readonly value: unknown
  readonly facts?: EntryFacts | undefined
}
