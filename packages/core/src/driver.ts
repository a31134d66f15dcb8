/** `@stowage/core/driver`: the API for authors of drivers and codecs, in addition to `@stowage/core`. */
export {
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
} from './configuration/check-options.ts'
export type { Driver } from './configuration/driver.ts'
export { maskSecrets } from './configuration/env.ts'
export { isUnreachable, notACounter, valueTooLarge } from './driver-errors.ts'
export { consistencies } from './store.ts'
export { answerWithin, DeadlineError, type DeadlineOptions, withDeadline } from './time/deadline.ts'
export { Deferred } from './time/deferred.ts'
export { parseDuration, resolveTtl } from './time/duration.ts'
export { InFlight } from './time/in-flight.ts'
export { Lifecycle } from './time/lifecycle.ts'
export { countdown, Watchdog } from './time/watchdog.ts'
export { type ConflictLocation, conflict, retryOnConflict } from './updates/retry-on-conflict.ts'
export { decodeFrame, encodeFrame, type Frame, isFrame } from './values/frame.ts'
export { longestIntegerText, parseSafeInteger } from './values/integer.ts'
export { exceeds, payloadBytes, samePayload, toBytes, toText } from './values/payload.ts'
