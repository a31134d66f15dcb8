/** Metadata that a codec stores with a value. Only entries with tags or a stale window have any. */
export interface EntryFacts {
  /** Until when the value is fresh, in epoch milliseconds of the backend's clock. */
  readonly freshUntil?: number
  /** When the item expires in the backend, in the same time. */
  readonly expiresAt?: number
  /** The versions of the tags, by name, as read before the value was loaded. */
  readonly tags?: Readonly<Record<string, string>>
  /** The validators of the source of the value. See RFC 9110 section 8.8. */
  readonly etag?: string
  readonly lastModified?: string
}

/** A value with its metadata, as the cache passes it to the codec. */
export interface Entry {
  readonly value: unknown
  readonly facts?: EntryFacts | undefined
}
