/**
 * `@stowage/core/driver`: the API for authors of drivers, wrappers of stores and codecs, in addition to `@stowage/core`.
 * It is as stable as the main entry point.
 */

// The contract

export type { Entry, EntryFacts } from './entry.ts'
export {
  type ByteStore,
  consistencies,
  type EntryStore,
  type ItemWithTtl,
  type KeyPlacement,
  type StoreContract,
} from './store.ts'

// The driver and its options

export type { Driver } from './configuration/driver.ts'
export { Env, type Variables } from './configuration/env.ts'
export { checkBytes } from './options/byte-size.ts'
export {
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
} from './options/check-options.ts'

// Deadlines, and what `close()` waits for

export {
  answerWithin,
  countdown,
  DeadlineError,
  type DeadlineOptions,
  withDeadline,
} from './calls/deadline.ts'
export { InFlight, Lifecycle, Watchdog } from './calls/in-flight.ts'

// The usual errors, and retries on conflict

export { isUnreachable, notACounter, valueTooLarge } from './driver-errors.ts'
export { type ConflictLocation, conflict, retryOnConflict } from './updates/conditional-write.ts'
export { BatchError } from './wrappers/batch-error.ts'

// Payloads and codecs

export { type UnencodableOptions, unencodable } from './values/codecs/unencodable.ts'
export { decodeFrame, encodeFrame, type Frame } from './values/frame.ts'
export { exceeds, payloadBytes, samePayload, toBytes, toText } from './values/payload.ts'
export { parseSafeInteger } from './values/plain-items.ts'

// Wrappers

export { type KeyOrderOptions, withKeyOrder } from './wrappers/with-key-order.ts'
export { type Interceptor, type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'
