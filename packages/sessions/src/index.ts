export { type DroppedEvent, type SessionEvent, sessionChannels } from './channels.ts'
export {
  type ConfiguredSession,
  type SessionFromEnvOptions,
  sessionFromEnv,
} from './configuration/session-from-env.ts'
export { sessionSecret } from './configuration/session-secret.ts'
export type { Cookie, CookieOptions } from './http/cookie.ts'
export { addFlash, type FlashMessages, takeFlash } from './http/flash.ts'
export type { SessionMiddlewareOptions } from './http/middleware-options.ts'
export type { RegenerateOptions, RequestSession } from './http/request-session.ts'
export { type SessionLockOptions, sessionLock } from './http/session-lock.ts'
export { type SessionMiddleware, session, wasSessionUsed } from './http/session-middleware.ts'
export { type MigratingOptions, migrating } from './migrating.ts'
export type { ListedSession } from './reading/session-lister.ts'
export type { OldSessions, SessionsOptions } from './session-options.ts'
export { Sessions } from './sessions.ts'
export type { SessionBaseline } from './writing/session-baseline.ts'
export type { RotateOutcome, SaveOutcome } from './writing/session-writer.ts'
