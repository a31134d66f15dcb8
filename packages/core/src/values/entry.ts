/** What the cache knows about a value beside the value itself. Most entries have none. */
export interface EntryFacts {
  /** Until when the value is fresh, in epoch milliseconds. Later it is stale, until the store expires it. */
  readonly freshUntil?: number
  /** The version of each tag as it was before the value was computed. */
  readonly tags?: Readonly<Record<string, string>>
}

/** A value and the facts about it: what the facade hands to the codec. */
export interface Entry {
  readonly value: unknown
  readonly facts?: EntryFacts
}
