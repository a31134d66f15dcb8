/**
 * `@stowage/sessions/tools`: what command lines and checks need, in addition to `@stowage/sessions`. It is as stable as the
 * main entry point.
 */

export { sessionProblems, sessionVariables } from './configuration/session-from-env.ts'
export { hasShortOldSecret } from './configuration/session-secret.ts'
export { sessionKey } from './data/session-key.ts'
