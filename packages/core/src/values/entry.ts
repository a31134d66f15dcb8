/** Metadata that a codec stores with a value. The cache neither sets nor reads it, so entries normally have none. */
export interface EntryFacts {
  /** Epoch milliseconds until which the value is fresh. */
  readonly freshUntil?: number
  /** Versions by name, as recorded before the value was computed. */
  readonly tags?: Readonly<Record<string, string>>
}

/** A value with its metadata, as the cache passes it to the codec. */
export interface Entry {
  readonly value: unknown
  readonly facts?: EntryFacts | undefined
}
