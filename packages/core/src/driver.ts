/** `@stowage/core/driver`: the API for authors of drivers and codecs, in addition to `@stowage/core`. */

export {
  answerWithin,
  DeadlineError,
  type DeadlineOptions,
  withDeadline,
} from './calls/deadline.ts'
export { Deferred } from './calls/deferred.ts'
export { InFlight } from './calls/in-flight.ts'
export { Lifecycle } from './calls/lifecycle.ts'
export { countdown, Watchdog } from './calls/watchdog.ts'
export type { Driver } from './configuration/driver.ts'
export { maskSecrets } from './configuration/env.ts'
export { type CookiePair, cookiePairs } from './cookie-pairs.ts'
export { clockSkewFinding, failureFinding, pingReport } from './diagnostics.ts'
export { isUnreachable, notACounter, valueTooLarge } from './driver-errors.ts'
export { BoundedMap, type BoundedMapOptions } from './eviction/bounded-map.ts'
export type { MapEntry } from './eviction/entry-list.ts'
export { Journal, type JournalEntry } from './failover/recovery/journal.ts'
export { checkBytes } from './options/byte-size.ts'
export {
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
} from './options/check-options.ts'
export { consistencies } from './store.ts'
export { parseDuration, resolveTtl } from './time/duration.ts'
export { ExpiryClock } from './time/expiry-clock.ts'
export { type ConflictLocation, conflict, retryOnConflict } from './updates/retry-on-conflict.ts'
export { decodeFrame, encodeFrame, type Frame, isFrame } from './values/frame.ts'
export { longestIntegerText, parseSafeInteger } from './values/integer.ts'
export { exceeds, payloadBytes, samePayload, toBytes, toText } from './values/payload.ts'
export { KeyOrder } from './wrappers/key-order.ts'
